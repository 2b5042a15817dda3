import com.aliyun.tea.TeaException;
import com.aliyun.tea.TeaModel;
import com.aliyun.teaopenapi.Client;
import com.aliyun.teaopenapi.models.Config;
import com.aliyun.teaopenapi.models.OpenApiRequest;
import com.aliyun.teaopenapi.models.Params;
import com.aliyun.teautil.models.RuntimeOptions;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * com.aliyun:vpc20160428, kms20160120, cas20200407, ram20150501 and sts20150401, typed; the generic client below them for the rest.
 *
 * <p>Parameters and bodies are spelled as on the wire and go through the clients' own request and response classes.
 */
final class TeaClient {
    private static final Map<String, Object> VERSIONS = Json.object(Json.read("versions"));

    final String name;
    private final String host;
    private final Map<String, Client> clients = new HashMap<>();

    TeaClient(String name, String endpoint) {
        this.name = name;
        this.host = endpoint.split("://")[1];
    }

    Map<String, Object> call(Map<String, Object> who, String product, String action, Map<String, Object> parameters, String version) throws Exception {
        try {
            TeaModel request = version == null ? typedRequest(product, action, parameters) : null;
            if (request == null && version == null && parameters.isEmpty() && withoutParameters(product, action)) {
                return typed(client(product, who), action);
            }
            return request != null
                    ? typed(client(product, who), action, request)
                    : generic(client("", who), action, version != null ? version : versionOf(product), parameters);
        } catch (TeaException error) {
            throw refusal(error);
        }
    }

    private Client client(String product, Map<String, Object> who) throws Exception {
        String key = product + " " + who;
        if (!clients.containsKey(key)) {
            Config config = new Config().setAccessKeyId((String) who.get("AccessKeyId")).setAccessKeySecret((String) who.get("AccessKeySecret"))
                    .setSecurityToken((String) who.get("SecurityToken")).setRegionId("cn-hangzhou").setEndpoint(host).setProtocol("HTTP");
            clients.put(key, switch (product) {
                case "Vpc" -> new com.aliyun.vpc20160428.Client(config);
                case "Kms" -> new com.aliyun.kms20160120.Client(config);
                case "Cas" -> new com.aliyun.cas20200407.Client(config);
                case "Ram" -> new com.aliyun.ram20150501.Client(config);
                case "Sts" -> new com.aliyun.sts20150401.Client(config);
                default -> new Client(config);
            });
        }
        return clients.get(key);
    }

    /** Null when the release has no such request, or no such parameter. */
    private static TeaModel typedRequest(String product, String action, Map<String, Object> parameters) throws Exception {
        Class<?> kind = model(product, action + "Request");
        if (kind == null) {
            return null;
        }
        TeaModel request = TeaModel.toModel(parameters, (TeaModel) kind.getDeclaredConstructor().newInstance());
        return kept(request.toMap(), parameters) ? request : null;
    }

    /** Whether a request has every parameter that was given, and every member of it. */
    private static boolean kept(Object made, Object given) {
        if (made == null) {
            return false;
        }
        if (given instanceof Map<?, ?> members) {
            return members.entrySet().stream().allMatch(member -> kept(((Map<?, ?>) made).get(member.getKey()), member.getValue()));
        }
        if (given instanceof List<?> items) {
            List<?> list = (List<?>) made;
            return list.size() == items.size() && java.util.stream.IntStream.range(0, list.size()).allMatch(at -> kept(list.get(at), items.get(at)));
        }
        return true;
    }

    private static String versionOf(String product) {
        return (String) VERSIONS.get(product);
    }

    private static Class<?> model(String product, String name) {
        try {
            return Class.forName("com.aliyun." + product.toLowerCase() + versionOf(product).replace("-", "") + ".models." + name);
        } catch (ClassNotFoundException error) {
            return null;
        }
    }

    /** Operations that have no parameters have no request class either. */
    private static boolean withoutParameters(String product, String action) {
        return model(product, action + "Request") == null && model(product, action + "Response") != null;
    }

    private static Map<String, Object> typed(Client client, String action, TeaModel... request) throws Exception {
        Class<?>[] kinds = Arrays.stream(request).map(Object::getClass).toArray(Class<?>[]::new);
        Method method = client.getClass().getMethod(action.substring(0, 1).toLowerCase() + action.substring(1), kinds);
        try {
            TeaModel response = (TeaModel) method.invoke(client, (Object[]) request);
            return plain(response.toMap().get("body"));
        } catch (InvocationTargetException error) {
            if (error.getCause() instanceof Exception cause) {
                throw cause;
            }
            throw error;
        }
    }

    private static Map<String, Object> generic(Client client, String action, String version, Map<String, Object> parameters) throws Exception {
        Params params = new Params().setAction(action).setVersion(version).setProtocol("HTTP").setPathname("/").setMethod("POST")
                .setAuthType("AK").setStyle("RPC").setReqBodyType("formData").setBodyType("json");
        Map<String, String> query = new HashMap<>();
        flatten("", parameters, query);
        return plain(client.callApi(params, new OpenApiRequest().setQuery(query), new RuntimeOptions()).get("body"));
    }

    /** Name.1 and Tag.1.Key: what a caller of a generic interface writes by hand. */
    private static void flatten(String prefix, Object value, Map<String, String> flat) {
        if (value instanceof Map<?, ?> map) {
            map.forEach((key, item) -> flatten(prefix.isEmpty() ? key.toString() : prefix + "." + key, item, flat));
        } else if (value instanceof List<?> list) {
            for (int index = 0; index < list.size(); index++) {
                flatten(prefix + "." + (index + 1), list.get(index), flat);
            }
        } else {
            flat.put(prefix, String.valueOf(value));
        }
    }

    private static Map<String, Object> plain(Object body) {
        return Json.object(Json.parse(Json.GSON.toJson(body)));
    }

    /** The text is `code: 404, <Message> request id: <RequestId>`; the fields are in the data. */
    private static Refusal refusal(TeaException error) {
        Object status = error.getData() == null ? null : error.getData().get("statusCode");
        if (status == null) {
            throw error;
        }
        Object requestId = error.getData().get("RequestId");
        String prefix = "code: " + status + ", ";
        String suffix = " request id: " + requestId;
        String text = error.getMessage();
        if (!text.startsWith(prefix) || !text.endsWith(suffix)) {
            throw new AssertionError("form of the message: " + text);
        }
        return new Refusal(error.getCode(), ((Number) status).longValue(), text.substring(prefix.length(), text.length() - suffix.length()), (String) requestId, error.getAccessDeniedDetail());
    }
}
