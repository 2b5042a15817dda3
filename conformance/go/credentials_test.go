package conformance

import (
	"fmt"
	"os"
	"strings"
	"testing"

	openapi "github.com/alibabacloud-go/darabonba-openapi/v2/client"
	openapiutil "github.com/alibabacloud-go/darabonba-openapi/v2/utils"
	"github.com/alibabacloud-go/tea/dara"
	"github.com/alibabacloud-go/tea/tea"
	"github.com/aliyun/credentials-go/credentials"
)

// TestCredentials lets credentials-go, which the Terraform provider uses too, take sessions by itself.
// It speaks HTTPS alone; SSL_CERT_FILE names its trust anchor. Only one suite has a server behind TLS.
func TestCredentials(t *testing.T) {
	endpoint := os.Getenv("CONFORMANCE_ENCRYPTED")
	if endpoint == "" {
		t.Skip("no server behind TLS")
	}
	name := os.Getenv("CONFORMANCE_CLIENT")
	w := &world{name: name, client: newClient(name, endpoint), variables: object{}}
	read("ram_sessions", &w.content)
	read("principals", &w.principals)
	err := w.run(w.content.Setup)
	if err == nil {
		err = renewing(strings.TrimPrefix(endpoint, "https://"), w.identity(w.variables["alice"]), w.variables["arn"].(string))
	}
	appendLine("CONFORMANCE_RESULTS", object{"client": name, "suite": "encrypted", "case": "the credentials client renews its sessions", "passed": err == nil})
	if err != nil {
		t.Error(err)
	}
}

func renewing(host string, who principal, arn string) error {
	credential, err := credentials.NewCredential(new(credentials.Config).SetType("ram_role_arn").SetAccessKeyId(who.AccessKeyID).
		SetAccessKeySecret(who.AccessKeySecret).SetRoleArn(arn).SetRoleSessionName("go").SetRoleSessionExpiration(900).SetSTSEndpoint(host))
	if err != nil {
		return err
	}
	connection, err := openapi.NewClient(&openapiutil.Config{
		Credential: credential, RegionId: tea.String(region), Endpoint: tea.String(host), Protocol: tea.String("HTTPS")})
	if err != nil {
		return err
	}
	call := func(action string) (map[string]any, error) {
		return connection.CallApi(&openapiutil.Params{
			Action: tea.String(action), Version: tea.String(versions["Vpc"]), Protocol: tea.String("HTTPS"), Pathname: tea.String("/"), Method: tea.String("POST"),
			AuthType: tea.String("AK"), Style: tea.String("RPC"), ReqBodyType: tea.String("formData"), BodyType: tea.String("json"),
		}, &openapiutil.OpenApiRequest{Query: map[string]*string{"RegionId": tea.String(region)}}, &dara.RuntimeOptions{})
	}
	for range 2 {
		if _, err := call("DescribeVpnGateways"); err != nil {
			return err
		}
		session, err := credential.GetCredential()
		if err != nil {
			return err
		}
		if !strings.HasPrefix(tea.StringValue(session.AccessKeyId), "STS.") || tea.StringValue(session.SecurityToken) == "" {
			return fmt.Errorf("no session: %v", tea.StringValue(session.AccessKeyId))
		}
	}
	if _, err = call("CreateVpc"); err == nil {
		return fmt.Errorf("a session that may look made a VPC")
	}
	_, seen, err := new(teaClient).refusal(err)
	if err != nil {
		return err
	}
	if seen.code != "Forbidden" || seen.detail["AuthPrincipalType"] != "AssumedRoleUser" {
		return fmt.Errorf("refused with %v and %v", seen, seen.detail)
	}
	return nil
}
