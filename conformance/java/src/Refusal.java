/** What the user of a client sees when the server refuses. */
final class Refusal extends Exception {
    final String code;
    final long status;
    final String text;
    final String requestId;

    Refusal(String code, long status, String text, String requestId) {
        super(status + " " + code + ": " + text + " (" + requestId + ")");
        this.code = code;
        this.status = status;
        this.text = text;
        this.requestId = requestId;
    }
}
