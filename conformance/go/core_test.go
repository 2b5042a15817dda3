package conformance

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"

	"github.com/aliyun/alibaba-cloud-sdk-go/sdk"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/auth"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/auth/credentials"
	sdkerrors "github.com/aliyun/alibaba-cloud-sdk-go/sdk/errors"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/requests"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/responses"
)

// coreClient is alibaba-cloud-sdk-go, the library under the aliyun command line; signs the old way.
type coreClient struct {
	host    string
	clients map[principal]*sdk.Client
}

type pair struct {
	request  func() requests.AcsRequest
	response func() responses.AcsResponse
}

func of[Q requests.AcsRequest, A responses.AcsResponse](request func() Q, response func() A) pair {
	return pair{func() requests.AcsRequest { return request() }, func() responses.AcsResponse { return response() }}
}

func (c *coreClient) connect(who principal) (*sdk.Client, error) {
	if found := c.clients[who]; found != nil {
		return found, nil
	}
	var credential auth.Credential = credentials.NewAccessKeyCredential(who.AccessKeyID, who.AccessKeySecret)
	if who.SecurityToken != "" {
		credential = credentials.NewStsTokenCredential(who.AccessKeyID, who.AccessKeySecret, who.SecurityToken)
	}
	made, err := sdk.NewClientWithOptions(region, sdk.NewConfig().WithScheme("HTTP").WithAutoRetry(false), credential)
	if c.clients == nil {
		c.clients = map[principal]*sdk.Client{}
	}
	c.clients[who] = made
	return made, err
}

func (c *coreClient) call(who principal, product, action string, parameters object, version string) (object, *refusal, error) {
	connection, err := c.connect(who)
	if err != nil {
		return nil, nil, err
	}
	if typed, ok := typedRequests[product+"."+action]; ok && version == "" {
		request := typed.request()
		if fill(reflect.ValueOf(request).Elem(), parameters) {
			request.SetDomain(c.host)
			request.SetScheme("HTTP")
			response := typed.response()
			if err := connection.DoAction(request, response); err != nil {
				return c.refusal(err)
			}
			body, err := asObject(response)
			return body, nil, err
		}
	}
	return c.generic(connection, product, action, parameters, version)
}

func (c *coreClient) generic(connection *sdk.Client, product, action string, parameters object, version string) (object, *refusal, error) {
	request := requests.NewCommonRequest()
	request.Method, request.Scheme, request.Domain = "POST", "HTTP", c.host
	request.Product, request.ApiName, request.Version = product, action, version
	if version == "" {
		request.Version = versions[product]
	}
	for key, value := range flatten(parameters) {
		request.QueryParams[key] = value
	}
	response, err := connection.ProcessCommonRequest(request)
	if err != nil {
		return c.refusal(err)
	}
	var body object
	return body, nil, json.Unmarshal(response.GetHttpContentBytes(), &body)
}

func (c *coreClient) refusal(err error) (object, *refusal, error) {
	var refused *sdkerrors.ServerError
	if !errors.As(err, &refused) {
		return nil, nil, err
	}
	// The client compares the server's string to sign with its own; if they differ it calls that a bug.
	const secretIsWrong = "InvalidAccessKeySecret: Please check you AccessKeySecret"
	if refused.ErrorCode() == "SignatureDoesNotMatch" && refused.Recommend() != secretIsWrong {
		return nil, nil, fmt.Errorf("the strings to sign differ: %w", err)
	}
	return nil, &refusal{refused.ErrorCode(), refused.Message(), refused.RequestId(), refused.HttpStatus(), refused.AccessDeniedDetail()}, nil
}

// fill sets the fields of a request; false when it has no field for one of the parameters.
func fill(request reflect.Value, parameters object) bool {
	fields := map[string]reflect.Value{}
	for index := range request.NumField() {
		if name := request.Type().Field(index).Tag.Get("name"); name != "" {
			fields[name] = request.Field(index)
		}
	}
	if region := request.FieldByName("RegionId"); region.IsValid() && fields["RegionId"] == (reflect.Value{}) {
		fields["RegionId"] = region // of the embedded request
	}
	for name, value := range parameters {
		field, ok := fields[name]
		if !ok || !set(field, value) {
			return false
		}
	}
	return true
}

func set(field reflect.Value, value any) bool {
	if inner, isObject := value.(object); isObject && field.Kind() == reflect.Struct {
		return fill(field, inner)
	}
	items, isList := value.([]any)
	if !isList {
		field.SetString(plain(value)) // requests.Integer and requests.Boolean are strings
		return true
	}
	list := reflect.MakeSlice(field.Type().Elem(), len(items), len(items))
	for index, item := range items {
		if inner, ok := item.(object); ok {
			if !fill(list.Index(index), inner) {
				return false
			}
		} else {
			list.Index(index).SetString(plain(item))
		}
	}
	field.Set(reflect.New(field.Type().Elem()))
	field.Elem().Set(list)
	return true
}
