package conformance

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"

	openapi "github.com/alibabacloud-go/darabonba-openapi/v2/client"
	openapiutil "github.com/alibabacloud-go/darabonba-openapi/v2/utils"
	kmsclient "github.com/alibabacloud-go/kms-20160120/v3/client"
	"github.com/alibabacloud-go/tea/dara"
	"github.com/alibabacloud-go/tea/tea"
)

// teaClient is the stack of the Terraform provider: the generic darabonba-openapi client, and the typed Kms client on it.
// (The typed Vpc module for Go, which some module proxies do not carry, adds only types to this.)
type teaClient struct {
	protocol, host string
}

func (c *teaClient) config(who principal) *openapiutil.Config {
	config := &openapiutil.Config{
		AccessKeyId: tea.String(who.AccessKeyID), AccessKeySecret: tea.String(who.AccessKeySecret),
		RegionId: tea.String(region), Endpoint: tea.String(c.host), Protocol: tea.String(c.protocol),
	}
	if who.SecurityToken != "" {
		config.SecurityToken = tea.String(who.SecurityToken)
	}
	return config
}

func (c *teaClient) call(who principal, product, action string, parameters object, version string) (object, *refusal, error) {
	// ListCertificates and ExportCertificate had left the API when this release was made.
	if _, typed := reflect.TypeOf(&kmsclient.Client{}).MethodByName(action); product == "Kms" && version == "" && typed {
		return c.kms(who, action, parameters)
	}
	if version == "" {
		version = versions[product]
	}
	connection, err := openapi.NewClient(c.config(who))
	if err != nil {
		return nil, nil, err
	}
	params := &openapiutil.Params{
		Action: tea.String(action), Version: tea.String(version), Protocol: tea.String(c.protocol), Pathname: tea.String("/"), Method: tea.String("POST"),
		AuthType: tea.String("AK"), Style: tea.String("RPC"), ReqBodyType: tea.String("formData"), BodyType: tea.String("json"),
	}
	query := map[string]*string{}
	for key, value := range flatten(parameters) {
		query[key] = tea.String(value)
	}
	response, err := connection.CallApi(params, &openapiutil.OpenApiRequest{Query: query}, &dara.RuntimeOptions{})
	if err != nil {
		return c.refusal(err)
	}
	body, err := asObject(response["body"])
	return body, nil, err
}

// kms calls the typed client: a method of the action's name takes a request structure with JSON names as on the wire.
func (c *teaClient) kms(who principal, action string, parameters object) (object, *refusal, error) {
	connection, err := kmsclient.NewClient(c.config(who))
	if err != nil {
		return nil, nil, err
	}
	method := reflect.ValueOf(connection).MethodByName(action)
	request := reflect.New(method.Type().In(0).Elem())
	text, _ := json.Marshal(parameters)
	if err := json.Unmarshal(text, request.Interface()); err != nil {
		return nil, nil, err
	}
	results := method.Call([]reflect.Value{request})
	if err, _ := results[1].Interface().(error); err != nil {
		return c.refusal(err)
	}
	body, err := asObject(results[0].Elem().FieldByName("Body").Interface())
	return body, nil, err
}

// refused is what all errors of the newer client have in common.
type refused interface {
	error
	GetStatusCode() *int
	GetCode() *string
	GetMessage() *string
	GetRequestId() *string
	GetAccessDeniedDetail() map[string]interface{}
}

func (c *teaClient) refusal(err error) (object, *refusal, error) {
	var newer refused
	if errors.As(err, &newer) {
		status := tea.IntValue(newer.GetStatusCode())
		return c.sentence(err, tea.StringValue(newer.GetCode()), status, tea.StringValue(newer.GetMessage()), tea.StringValue(newer.GetRequestId()), newer.GetAccessDeniedDetail())
	}
	var older *tea.SDKError
	if errors.As(err, &older) {
		var data struct{ RequestId string }
		if err := json.Unmarshal([]byte(tea.StringValue(older.Data)), &data); err != nil {
			return nil, nil, fmt.Errorf("data of %v: %w", older, err)
		}
		return c.sentence(err, tea.StringValue(older.Code), tea.IntValue(older.StatusCode), tea.StringValue(older.Message), data.RequestId, older.AccessDeniedDetail)
	}
	return nil, nil, err
}

// sentence takes `code: 404, <Message> request id: <RequestId>` apart.
func (c *teaClient) sentence(err error, code string, status int, text, requestID string, detail object) (object, *refusal, error) {
	prefix, suffix := fmt.Sprintf("code: %d, ", status), " request id: "+requestID
	if !strings.HasPrefix(text, prefix) || !strings.HasSuffix(text, suffix) {
		return nil, nil, fmt.Errorf("form of the message %q: %w", text, err)
	}
	message := strings.TrimSuffix(strings.TrimPrefix(text, prefix), suffix)
	return nil, &refusal{code, message, requestID, status, detail}, nil
}
