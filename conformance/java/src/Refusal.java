import java.util.Map;

/** What the user of a client sees when the server refuses; {@code detail} is the AccessDeniedDetail. */
final class Refusal extends Exception {
    final String code;
    final long status;
    final String text;
    final String requestId;
    final Map<String, Object> detail;

    Refusal(String code, long status, String text, String requestId, Map<String, Object> detail) {
        super(status + " " + code + ": " + text + " (" + requestId + ")");
        this.code = code;
        this.status = status;
        this.text = text;
        this.requestId = requestId;
        this.detail = detail;
    }
}
