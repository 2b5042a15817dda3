import com.aliyun.kms20160120.models.CreateCertificateRequest;
import com.aliyun.kms20160120.models.DeleteCertificateRequest;
import com.aliyun.kms20160120.models.UploadCertificateRequest;
import com.aliyun.teaopenapi.models.Config;
import com.aliyun.vpc20160428.models.AssociateVpnGatewayWithCertificateRequest;
import com.aliyun.vpc20160428.models.CreateVSwitchRequest;
import com.aliyun.vpc20160428.models.CreateVpcRequest;
import com.aliyun.vpc20160428.models.CreateVpnGatewayRequest;
import com.aliyun.vpc20160428.models.DeleteVSwitchRequest;
import com.aliyun.vpc20160428.models.DeleteVpcRequest;
import com.aliyun.vpc20160428.models.DeleteVpnGatewayRequest;
import com.aliyun.vpc20160428.models.DescribeVSwitchAttributesRequest;
import com.aliyun.vpc20160428.models.DescribeVSwitchesRequest;
import com.aliyun.vpc20160428.models.DescribeVpcAttributeRequest;
import com.aliyun.vpc20160428.models.DescribeVpnGatewayRequest;
import com.aliyun.vpc20160428.models.DescribeVpnGatewaysRequest;
import com.aliyun.vpc20160428.models.DescribeZonesRequest;
import com.aliyun.vpc20160428.models.DissociateVpnGatewayWithCertificateRequest;
import com.aliyun.vpc20160428.models.ListVpnCertificateAssociationsRequest;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.Callable;

/**
 * The life of an SM gateway with the Java SDK: create it, bind both certificates, rotate them, unbind, delete.
 *
 * <p>{@code mvn package && java -cp 'target/classes:target/lib/*' Gateway ../authority}
 *
 * <p>The access key comes from ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET.
 */
public final class Gateway {
    private static final String REGION = "cn-hangzhou";
    private static final List<String> ROLES = List.of("Encryption", "Signature");

    private final com.aliyun.vpc20160428.Client vpc;
    private final com.aliyun.kms20160120.Client kms;
    /** Stands for your own authority: a program that signs, and the folder where it keeps its keys. */
    private final String authority;
    private final Path directory = Files.createTempDirectory("authority-");

    private Gateway(String authority) throws Exception {
        String endpoint = System.getenv().getOrDefault("TONGGUAN_ENDPOINT", "127.0.0.1:8080");
        Config config = new Config()
                .setAccessKeyId(System.getenv("ALIBABA_CLOUD_ACCESS_KEY_ID"))
                .setAccessKeySecret(System.getenv("ALIBABA_CLOUD_ACCESS_KEY_SECRET"))
                .setRegionId(REGION).setEndpoint(endpoint).setProtocol("HTTP");
        this.vpc = new com.aliyun.vpc20160428.Client(config);
        this.kms = new com.aliyun.kms20160120.Client(config);
        this.authority = authority;
    }

    public static void main(String[] arguments) throws Exception {
        Gateway example = new Gateway(arguments.length > 0 ? arguments[0] : "../authority");
        String network = example.createVpc();
        String vSwitch = example.createVSwitch(network);
        String gateway = example.createGateway(network, vSwitch);
        System.out.println("Gateway " + gateway + " is active.");
        for (String role : ROLES) {
            example.bind(gateway, role, example.createCertificate(role));
        }
        example.show("Both certificates are bound:", gateway);
        for (String role : ROLES) {
            example.rotate(gateway, role);
        }
        example.show("The new certificates are bound:", gateway);
        example.deleteEverything(gateway, network, vSwitch);
        System.out.println("Everything is deleted again.");
    }

    /** Every change takes effect after its answer: ask until it has. */
    private static void waitUntil(Callable<Boolean> holds) throws Exception {
        while (!holds.call()) {
            Thread.sleep(200);
        }
    }

    private void waitActive(String gateway) throws Exception {
        DescribeVpnGatewayRequest request = new DescribeVpnGatewayRequest().setRegionId(REGION).setVpnGatewayId(gateway);
        waitUntil(() -> vpc.describeVpnGateway(request).getBody().getStatus().equals("active"));
    }

    private String createVpc() throws Exception {
        String network = vpc.createVpc(new CreateVpcRequest()
                .setRegionId(REGION).setCidrBlock("192.168.0.0/16").setVpcName("example")).getBody().getVpcId();
        DescribeVpcAttributeRequest request = new DescribeVpcAttributeRequest().setRegionId(REGION).setVpcId(network);
        waitUntil(() -> vpc.describeVpcAttribute(request).getBody().getStatus().equals("Available"));
        return network;
    }

    private String createVSwitch(String network) throws Exception {
        String zone = vpc.describeZones(new DescribeZonesRequest().setRegionId(REGION))
                .getBody().getZones().getZone().get(0).getZoneId();
        String vSwitch = vpc.createVSwitch(new CreateVSwitchRequest()
                .setRegionId(REGION).setVpcId(network).setZoneId(zone).setCidrBlock("192.168.0.0/24")).getBody().getVSwitchId();
        DescribeVSwitchAttributesRequest request =
                new DescribeVSwitchAttributesRequest().setRegionId(REGION).setVSwitchId(vSwitch);
        waitUntil(() -> vpc.describeVSwitchAttributes(request).getBody().getStatus().equals("Available"));
        return vSwitch;
    }

    /** In one zone: this release of the client does not know DisasterRecoveryVSwitchId, for a second one. */
    private String createGateway(String network, String vSwitch) throws Exception {
        String gateway = vpc.createVpnGateway(new CreateVpnGatewayRequest()
                .setRegionId(REGION).setVpcId(network).setName("example").setVpnType("NationalStandard")
                .setVSwitchId(vSwitch).setInstanceChargeType("POSTPAY").setBandwidth(10)).getBody().getVpnGatewayId();
        waitActive(gateway);
        return gateway;
    }

    /** A new key pair, whose private key stays in the service, and its certificate from our own authority. */
    private String createCertificate(String role) throws Exception {
        var made = kms.createCertificate(new CreateCertificateRequest()
                .setKeySpec("EC_SM2").setSubject("CN=" + role + ",OU=vpn,O=example,C=CN")).getBody();
        String certificate = sign(role, made.getCsr());
        kms.uploadCertificate(new UploadCertificateRequest()
                .setCertificateId(made.getCertificateId()).setCertificate(certificate)
                .setCertificateChain(Files.readString(directory.resolve("root.pem"))));
        return made.getCertificateId();
    }

    private String sign(String role, String request) throws IOException, InterruptedException {
        Process process = new ProcessBuilder(authority, directory.toString(), role)
                .redirectError(ProcessBuilder.Redirect.INHERIT).start();
        try (var input = process.getOutputStream()) {
            input.write(request.getBytes(StandardCharsets.UTF_8));
        }
        String certificate = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        if (process.waitFor() != 0) {
            throw new IOException("the authority failed");
        }
        return certificate;
    }

    private void deleteCertificate(String certificate) throws Exception {
        kms.deleteCertificate(new DeleteCertificateRequest().setCertificateId(certificate));
    }

    private void bind(String gateway, String role, String certificate) throws Exception {
        vpc.associateVpnGatewayWithCertificate(new AssociateVpnGatewayWithCertificateRequest()
                .setRegionId(REGION).setVpnGatewayId(gateway).setCertificateType(role).setCertificateId(certificate));
        waitActive(gateway);
    }

    private void unbind(String gateway, String role, String certificate) throws Exception {
        vpc.dissociateVpnGatewayWithCertificate(new DissociateVpnGatewayWithCertificateRequest()
                .setRegionId(REGION).setVpnGatewayId(gateway).setCertificateType(role).setCertificateId(certificate));
        waitActive(gateway);
    }

    /** The certificates of a gateway, by role. */
    private Map<String, String> bound(String gateway) throws Exception {
        var relations = vpc.listVpnCertificateAssociations(new ListVpnCertificateAssociationsRequest()
                .setRegionId(REGION).setVpnGatewayId(List.of(gateway))).getBody().getVpnCertificateRelations();
        Map<String, String> found = new TreeMap<>();
        relations.forEach(relation -> found.put(relation.getCertificateType(), relation.getCertificateId()));
        return found;
    }

    private void show(String title, String gateway) throws Exception {
        System.out.println(title);
        bound(gateway).forEach((role, certificate) -> System.out.println(role + ": " + certificate));
    }

    /** A role holds one certificate at a time, so the old one leaves before the new one is bound. */
    private void rotate(String gateway, String role) throws Exception {
        String old = bound(gateway).get(role);
        String replacement = createCertificate(role);
        unbind(gateway, role, old);
        bind(gateway, role, replacement);
        deleteCertificate(old);
        System.out.println("Rotated " + role + ": " + old + " to " + replacement + ".");
    }

    private void deleteEverything(String gateway, String network, String vSwitch) throws Exception {
        for (Map.Entry<String, String> each : bound(gateway).entrySet()) {
            unbind(gateway, each.getKey(), each.getValue());
            deleteCertificate(each.getValue());
        }
        vpc.deleteVpnGateway(new DeleteVpnGatewayRequest().setRegionId(REGION).setVpnGatewayId(gateway));
        DescribeVpnGatewaysRequest gateways = new DescribeVpnGatewaysRequest().setRegionId(REGION).setVpnGatewayId(gateway);
        waitUntil(() -> vpc.describeVpnGateways(gateways).getBody().getTotalCount() == 0);
        vpc.deleteVSwitch(new DeleteVSwitchRequest().setRegionId(REGION).setVSwitchId(vSwitch));
        DescribeVSwitchesRequest left = new DescribeVSwitchesRequest().setRegionId(REGION).setVpcId(network);
        waitUntil(() -> vpc.describeVSwitches(left).getBody().getTotalCount() == 0);
        vpc.deleteVpc(new DeleteVpcRequest().setRegionId(REGION).setVpcId(network));
    }
}
