import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** The interpreter of one scenario file against one server; README.md explains the words. */
final class World {
    private static final long POLL_DEADLINE_MS = 30_000;
    private static final long POLL_PAUSE_MS = 10;
    private static final Pattern VARIABLE = Pattern.compile("\\$\\{([\\w.]+)}");

    final Map<String, Object> content;
    private final TeaClient client;
    private final Map<String, Object> principals = Json.object(Json.read("principals"));
    private final Map<String, Object> errors = Json.object(Json.read("errors"));
    private final Map<String, Object> variables = new HashMap<>();
    private boolean prepared;
    private String broken;

    World(TeaClient client, Map<String, Object> content) {
        this.client = client;
        this.content = content;
    }

    void runCase(Map<String, Object> each) throws Exception {
        if (broken != null) {
            throw new AssertionError("not run: " + broken + " failed");
        }
        if (!prepared) {
            prepared = true;
            broken = "the setup";
            run(Json.list(content.get("setup")));
            broken = null;
        }
        boolean passed = false;
        try {
            run(Json.list(each.get("steps")));
            passed = true;
        } finally {
            if (!passed && Boolean.TRUE.equals(content.get("chained"))) {
                broken = (String) each.get("name");
            }
        }
    }

    private void run(List<Object> steps) throws Exception {
        for (Object raw : steps) {
            if (Json.object(Json.object(raw).get("not_for")).containsKey(client.name)) {
                continue;
            }
            Map<String, Object> step = Json.object(substitute(raw));
            try {
                if (step.containsKey("issue")) {
                    issue(step);
                } else {
                    call(step);
                }
            } catch (AssertionError error) {
                throw new AssertionError(step.get("call") + " " + Json.GSON.toJson(step.get("with")) + ": " + error.getMessage());
            }
        }
    }

    private Object substitute(Object value) {
        if (value instanceof String text) {
            Matcher whole = VARIABLE.matcher(text);
            if (whole.matches()) {
                return lookup(variables, whole.group(1)); // a number stays a number
            }
            return VARIABLE.matcher(text).replaceAll(found -> Matcher.quoteReplacement(String.valueOf(lookup(variables, found.group(1)))));
        }
        if (value instanceof List<?> list) {
            List<Object> made = new ArrayList<>();
            list.forEach(item -> made.add(substitute(item)));
            return made;
        }
        if (value instanceof Map<?, ?> map) {
            Map<String, Object> made = new LinkedHashMap<>();
            map.forEach((key, item) -> made.put((String) key, substitute(item)));
            return made;
        }
        return value;
    }

    private static Object lookup(Object value, String path) {
        for (String part : path.split("\\.")) {
            value = value instanceof List<?> list ? list.get(Integer.parseInt(part)) : Json.object(value).get(part);
        }
        if (value == null) {
            throw new AssertionError("no value for " + path);
        }
        return value;
    }

    private void issue(Map<String, Object> step) throws Exception {
        List<String> command = new ArrayList<>(List.of("python3", "-m", "harness.authority", System.getenv("CONFORMANCE_AUTHORITY"), "issue", "--role", (String) step.get("role")));
        for (Map.Entry<String, String> option : Map.of("authority", "--name", "curve", "--curve").entrySet()) {
            if (step.get(option.getKey()) instanceof String value) {
                command.addAll(List.of(option.getValue(), value));
            }
        }
        if (Boolean.TRUE.equals(step.get("forget_distid"))) {
            command.add("--forget-distid");
        }
        Process process = new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT).start();
        try (var input = process.getOutputStream()) {
            input.write(((String) step.get("request")).getBytes(StandardCharsets.UTF_8));
        }
        String issued = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        if (process.waitFor() != 0) {
            throw new AssertionError("the authority failed");
        }
        variables.put((String) step.get("issue"), Json.parse(issued));
    }

    private void call(Map<String, Object> step) throws Exception {
        if (step.containsKey("refused")) {
            Object wanted = Json.object(step.get("seen_by")).getOrDefault(client.name, step.get("refused"));
            Map<String, Object> answer;
            try {
                answer = send(step);
            } catch (Refusal seen) {
                checkRefusal(wanted, seen);
                return;
            }
            throw new AssertionError("expected a refusal, got " + answer);
        }
        Map<String, Object> answer;
        try {
            answer = step.containsKey("until") || step.containsKey("until_refused") ? poll(step) : send(step);
        } catch (Refusal seen) {
            throw new AssertionError("refused: " + seen.getMessage());
        }
        if (answer == null) {
            return;
        }
        require(difference(Json.map("RequestId", Json.map("$any", true)), answer, ""));
        require(difference(Json.object(step.get("expect")), answer, ""));
        Json.object(step.get("save")).forEach((name, path) -> variables.put(name, lookup(answer, (String) path)));
    }

    private static void require(String difference) {
        if (difference != null) {
            throw new AssertionError(difference);
        }
    }

    /** A named principal's key, or that of a key or session the server answered, spelled as there. */
    private Map<String, Object> identity(Object as) {
        if (as instanceof Map<?, ?>) {
            return Json.object(as);
        }
        Map<String, Object> known = Json.object(principals.get(as));
        return Json.map("AccessKeyId", known.get("access_key_id"), "AccessKeySecret", known.get("access_key_secret"));
    }

    private Map<String, Object> send(Map<String, Object> step) throws Exception {
        String operation = (String) step.get("call");
        String[] names = operation.split("\\.");
        Map<String, Object> parameters = new LinkedHashMap<>(Json.object(Json.object(content.get("defaults")).get(names[0])));
        parameters.putAll(Json.object(step.get("with")));
        parameters.values().removeIf(Objects::isNull);
        Map<String, Object> who = identity(step.getOrDefault("as", "root"));
        try {
            Map<String, Object> answer = client.call(who, names[0], names[1], parameters, (String) step.get("version"));
            Json.append("CONFORMANCE_COVERAGE", Json.map("operation", operation, "kind", "success", "client", client.name, "code", null));
            return answer;
        } catch (Refusal seen) {
            Json.append("CONFORMANCE_COVERAGE", Json.map("operation", operation, "kind", "refusal", "client", client.name, "code", seen.code));
            throw seen;
        }
    }

    /** The answer that was waited for; null when a refusal was. */
    private Map<String, Object> poll(Map<String, Object> step) throws Exception {
        long deadline = System.currentTimeMillis() + POLL_DEADLINE_MS;
        while (true) {
            Map<String, Object> answer;
            try {
                answer = send(step);
            } catch (Refusal seen) {
                if (!step.containsKey("until_refused")) {
                    throw seen;
                }
                checkRefusal(step.get("until_refused"), seen);
                return null;
            }
            String still = step.containsKey("until") ? difference(step.get("until"), answer, "") : "still there";
            if (still == null) {
                return answer;
            }
            String strange = step.containsKey("passing") ? difference(step.get("passing"), answer, "") : null;
            if (strange != null) {
                throw new AssertionError("on the way: " + strange + "; wanted in the end: " + still);
            }
            if (System.currentTimeMillis() > deadline) {
                throw new AssertionError("after " + POLL_DEADLINE_MS + " ms: " + still + "; last answer " + answer);
            }
            Thread.sleep(POLL_PAUSE_MS);
        }
    }

    private void checkRefusal(Object given, Refusal seen) {
        Map<String, Object> own = given instanceof String ? Json.map("code", given) : Json.object(given);
        Map<String, Object> wanted = Json.map("message", Json.map("$any", true));
        if (own.get("code") instanceof String code) {
            wanted.putAll(Json.object(errors.get(code)));
        }
        wanted.putAll(own);
        wanted.put("request_id", Json.map("$any", true));
        Map<String, Object> actual = Json.map("code", seen.code, "status", seen.status, "message", seen.text, "request_id", seen.requestId, "detail", seen.detail);
        String found = difference(wanted, actual, "");
        if (found != null) {
            throw new AssertionError(found + "; the refusal was: " + seen.getMessage());
        }
    }

    /** Null when `actual` is as expected, else a sentence that says where it is not. */
    static String difference(Object expected, Object actual, String path) {
        String where = path.isEmpty() ? "the answer" : path;
        if (expected instanceof Map<?, ?> map) {
            for (Map.Entry<?, ?> entry : map.entrySet()) {
                if (((String) entry.getKey()).startsWith("$")) {
                    return special((String) entry.getKey(), entry.getValue(), actual, where);
                }
            }
            if (!(actual instanceof Map<?, ?> got)) {
                return where + ": expected an object, got " + actual;
            }
            for (Map.Entry<?, ?> entry : map.entrySet()) {
                String found = difference(entry.getValue(), got.get(entry.getKey()), path.isEmpty() ? (String) entry.getKey() : path + "." + entry.getKey());
                if (found != null) {
                    return found;
                }
            }
            return null;
        }
        if (expected instanceof List<?> list) {
            if (!(actual instanceof List<?> got) || got.size() != list.size()) {
                return where + ": expected " + list.size() + " elements, got " + actual;
            }
            for (int index = 0; index < list.size(); index++) {
                String found = difference(list.get(index), got.get(index), path + "[" + index + "]");
                if (found != null) {
                    return found;
                }
            }
            return null;
        }
        return Objects.equals(expected, actual) ? null : where + ": expected " + expected + ", got " + actual;
    }

    private static String special(String name, Object operand, Object actual, String where) {
        boolean good = switch (name) {
            case "$any" -> !empty(actual);
            case "$none" -> empty(actual);
            case "$not" -> difference(operand, actual, "") != null;
            case "$like" -> actual != null && Pattern.compile((String) operand).matcher(actual.toString()).find();
            case "$has" -> matched(Json.list(operand), Json.list(actual));
            case "$set" -> Json.list(actual).size() == Json.list(operand).size() && matched(Json.list(operand), Json.list(actual));
            default -> throw new IllegalArgumentException("no matcher " + name);
        };
        return good ? null : where + ": expected " + name + " " + operand + ", got " + actual;
    }

    private static boolean matched(List<Object> wanted, List<Object> candidates) {
        return wanted.stream().allMatch(item -> candidates.stream().anyMatch(candidate -> difference(item, candidate, "") == null));
    }

    private static boolean empty(Object value) {
        return value == null || value.equals("") || value instanceof List<?> list && list.isEmpty()
                // A typed answer has structures even for what was not sent, with nothing in them.
                || value instanceof Map<?, ?> map && map.values().stream().allMatch(World::empty);
    }
}
