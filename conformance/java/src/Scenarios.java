import java.util.Map;
import java.util.TreeMap;

/** Every case of `cases/*.json` with the Java client; exits 1 when one failed. */
public final class Scenarios {
    public static void main(String[] arguments) {
        String name = System.getenv("CONFORMANCE_CLIENT");
        Map<String, Object> servers = new TreeMap<>(Json.object(Json.parse(System.getenv("CONFORMANCE_SERVERS"))));
        int failed = 0;
        for (Map.Entry<String, Object> server : servers.entrySet()) {
            World world = new World(new TeaClient(name, (String) server.getValue()), Json.object(Json.read(server.getKey())));
            for (Object found : Json.list(world.content.get("cases"))) {
                Map<String, Object> each = Json.object(found);
                if (Json.object(each.get("not_for")).containsKey(name)) {
                    continue;
                }
                String title = server.getKey() + " > " + each.get("name");
                boolean passed = false;
                try {
                    world.runCase(each);
                    passed = true;
                } catch (AssertionError error) {
                    System.err.println("FAILED " + title + ": " + error.getMessage());
                } catch (Exception error) {
                    System.err.println("FAILED " + title);
                    error.printStackTrace();
                }
                failed += passed ? 0 : 1;
                Json.append("CONFORMANCE_RESULTS", Json.map("client", name, "suite", server.getKey(), "case", each.get("name"), "passed", passed));
            }
        }
        // The HTTP library keeps threads; do not wait for them.
        System.exit(failed == 0 ? 0 : 1);
    }
}
