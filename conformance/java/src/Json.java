import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.ToNumberPolicy;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** JSON as plain maps and lists; whole numbers are Long. */
final class Json {
    static final Gson GSON = new GsonBuilder().serializeNulls().disableHtmlEscaping()
            .setObjectToNumberStrategy(ToNumberPolicy.LONG_OR_DOUBLE).create();

    static Object parse(String text) {
        return GSON.fromJson(text, Object.class);
    }

    static Object read(String name) {
        try {
            return parse(Files.readString(Path.of(System.getenv("CONFORMANCE_CASES"), name + ".json")));
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    /** A missing object is an empty one. */
    @SuppressWarnings("unchecked")
    static Map<String, Object> object(Object value) {
        return value == null ? Map.of() : (Map<String, Object>) value;
    }

    @SuppressWarnings("unchecked")
    static List<Object> list(Object value) {
        return value == null ? List.of() : (List<Object>) value;
    }

    static Map<String, Object> map(Object... pairs) {
        Map<String, Object> made = new LinkedHashMap<>();
        for (int index = 0; index < pairs.length; index += 2) {
            made.put((String) pairs[index], pairs[index + 1]);
        }
        return made;
    }

    /** One line of JSON at the end of the file that the environment variable names. */
    static void append(String variable, Map<String, Object> record) {
        String path = System.getenv(variable);
        if (path == null) {
            return;
        }
        try {
            Files.writeString(Path.of(path), GSON.toJson(record) + "\n", StandardOpenOption.CREATE, StandardOpenOption.APPEND);
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }
}
