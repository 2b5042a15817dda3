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
	"github.com/aliyun/alibaba-cloud-sdk-go/services/kms"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/ram"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/resourcemanager"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/sts"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/vpc"
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

// Go cannot find a function by name at run time, so the typed requests are listed.
var typedRequests = map[string]pair{
	"Vpc.AssociateVpnGatewayWithCertificate":             of(vpc.CreateAssociateVpnGatewayWithCertificateRequest, vpc.CreateAssociateVpnGatewayWithCertificateResponse),
	"Vpc.DissociateVpnGatewayWithCertificate":            of(vpc.CreateDissociateVpnGatewayWithCertificateRequest, vpc.CreateDissociateVpnGatewayWithCertificateResponse),
	"Vpc.ListVpnCertificateAssociations":                 of(vpc.CreateListVpnCertificateAssociationsRequest, vpc.CreateListVpnCertificateAssociationsResponse),
	"Vpc.CreateVpnGateway":                               of(vpc.CreateCreateVpnGatewayRequest, vpc.CreateCreateVpnGatewayResponse),
	"Vpc.DescribeVpnGateway":                             of(vpc.CreateDescribeVpnGatewayRequest, vpc.CreateDescribeVpnGatewayResponse),
	"Vpc.DescribeVpnGateways":                            of(vpc.CreateDescribeVpnGatewaysRequest, vpc.CreateDescribeVpnGatewaysResponse),
	"Vpc.ModifyVpnGatewayAttribute":                      of(vpc.CreateModifyVpnGatewayAttributeRequest, vpc.CreateModifyVpnGatewayAttributeResponse),
	"Vpc.DeleteVpnGateway":                               of(vpc.CreateDeleteVpnGatewayRequest, vpc.CreateDeleteVpnGatewayResponse),
	"Vpc.DescribeRegions":                                of(vpc.CreateDescribeRegionsRequest, vpc.CreateDescribeRegionsResponse),
	"Vpc.DescribeZones":                                  of(vpc.CreateDescribeZonesRequest, vpc.CreateDescribeZonesResponse),
	"Vpc.CreateVpc":                                      of(vpc.CreateCreateVpcRequest, vpc.CreateCreateVpcResponse),
	"Vpc.DescribeVpcs":                                   of(vpc.CreateDescribeVpcsRequest, vpc.CreateDescribeVpcsResponse),
	"Vpc.DescribeVpcAttribute":                           of(vpc.CreateDescribeVpcAttributeRequest, vpc.CreateDescribeVpcAttributeResponse),
	"Vpc.DeleteVpc":                                      of(vpc.CreateDeleteVpcRequest, vpc.CreateDeleteVpcResponse),
	"Vpc.CreateVSwitch":                                  of(vpc.CreateCreateVSwitchRequest, vpc.CreateCreateVSwitchResponse),
	"Vpc.DescribeVSwitches":                              of(vpc.CreateDescribeVSwitchesRequest, vpc.CreateDescribeVSwitchesResponse),
	"Vpc.DescribeVSwitchAttributes":                      of(vpc.CreateDescribeVSwitchAttributesRequest, vpc.CreateDescribeVSwitchAttributesResponse),
	"Vpc.DeleteVSwitch":                                  of(vpc.CreateDeleteVSwitchRequest, vpc.CreateDeleteVSwitchResponse),
	"Vpc.TagResources":                                   of(vpc.CreateTagResourcesRequest, vpc.CreateTagResourcesResponse),
	"Vpc.UnTagResources":                                 of(vpc.CreateUnTagResourcesRequest, vpc.CreateUnTagResourcesResponse),
	"Vpc.ListTagResources":                               of(vpc.CreateListTagResourcesRequest, vpc.CreateListTagResourcesResponse),
	"Kms.CreateCertificate":                              of(kms.CreateCreateCertificateRequest, kms.CreateCreateCertificateResponse),
	"Kms.UploadCertificate":                              of(kms.CreateUploadCertificateRequest, kms.CreateUploadCertificateResponse),
	"Kms.GetCertificate":                                 of(kms.CreateGetCertificateRequest, kms.CreateGetCertificateResponse),
	"Kms.DescribeCertificate":                            of(kms.CreateDescribeCertificateRequest, kms.CreateDescribeCertificateResponse),
	"Kms.UpdateCertificateStatus":                        of(kms.CreateUpdateCertificateStatusRequest, kms.CreateUpdateCertificateStatusResponse),
	"Kms.DeleteCertificate":                              of(kms.CreateDeleteCertificateRequest, kms.CreateDeleteCertificateResponse),
	"Sts.GetCallerIdentity":                              of(sts.CreateGetCallerIdentityRequest, sts.CreateGetCallerIdentityResponse),
	"Sts.AssumeRole":                                     of(sts.CreateAssumeRoleRequest, sts.CreateAssumeRoleResponse),
	"Ram.CreateUser":                                     of(ram.CreateCreateUserRequest, ram.CreateCreateUserResponse),
	"Ram.GetUser":                                        of(ram.CreateGetUserRequest, ram.CreateGetUserResponse),
	"Ram.UpdateUser":                                     of(ram.CreateUpdateUserRequest, ram.CreateUpdateUserResponse),
	"Ram.DeleteUser":                                     of(ram.CreateDeleteUserRequest, ram.CreateDeleteUserResponse),
	"Ram.ListUsers":                                      of(ram.CreateListUsersRequest, ram.CreateListUsersResponse),
	"Ram.CreateAccessKey":                                of(ram.CreateCreateAccessKeyRequest, ram.CreateCreateAccessKeyResponse),
	"Ram.DeleteAccessKey":                                of(ram.CreateDeleteAccessKeyRequest, ram.CreateDeleteAccessKeyResponse),
	"Ram.UpdateAccessKey":                                of(ram.CreateUpdateAccessKeyRequest, ram.CreateUpdateAccessKeyResponse),
	"Ram.ListAccessKeys":                                 of(ram.CreateListAccessKeysRequest, ram.CreateListAccessKeysResponse),
	"Ram.GetAccessKeyLastUsed":                           of(ram.CreateGetAccessKeyLastUsedRequest, ram.CreateGetAccessKeyLastUsedResponse),
	"Ram.CreateGroup":                                    of(ram.CreateCreateGroupRequest, ram.CreateCreateGroupResponse),
	"Ram.GetGroup":                                       of(ram.CreateGetGroupRequest, ram.CreateGetGroupResponse),
	"Ram.DeleteGroup":                                    of(ram.CreateDeleteGroupRequest, ram.CreateDeleteGroupResponse),
	"Ram.ListGroups":                                     of(ram.CreateListGroupsRequest, ram.CreateListGroupsResponse),
	"Ram.AddUserToGroup":                                 of(ram.CreateAddUserToGroupRequest, ram.CreateAddUserToGroupResponse),
	"Ram.RemoveUserFromGroup":                            of(ram.CreateRemoveUserFromGroupRequest, ram.CreateRemoveUserFromGroupResponse),
	"Ram.ListGroupsForUser":                              of(ram.CreateListGroupsForUserRequest, ram.CreateListGroupsForUserResponse),
	"Ram.ListUsersForGroup":                              of(ram.CreateListUsersForGroupRequest, ram.CreateListUsersForGroupResponse),
	"Ram.CreateRole":                                     of(ram.CreateCreateRoleRequest, ram.CreateCreateRoleResponse),
	"Ram.GetRole":                                        of(ram.CreateGetRoleRequest, ram.CreateGetRoleResponse),
	"Ram.UpdateRole":                                     of(ram.CreateUpdateRoleRequest, ram.CreateUpdateRoleResponse),
	"Ram.DeleteRole":                                     of(ram.CreateDeleteRoleRequest, ram.CreateDeleteRoleResponse),
	"Ram.ListRoles":                                      of(ram.CreateListRolesRequest, ram.CreateListRolesResponse),
	"Ram.CreatePolicy":                                   of(ram.CreateCreatePolicyRequest, ram.CreateCreatePolicyResponse),
	"Ram.GetPolicy":                                      of(ram.CreateGetPolicyRequest, ram.CreateGetPolicyResponse),
	"Ram.DeletePolicy":                                   of(ram.CreateDeletePolicyRequest, ram.CreateDeletePolicyResponse),
	"Ram.ListPolicies":                                   of(ram.CreateListPoliciesRequest, ram.CreateListPoliciesResponse),
	"Ram.CreatePolicyVersion":                            of(ram.CreateCreatePolicyVersionRequest, ram.CreateCreatePolicyVersionResponse),
	"Ram.GetPolicyVersion":                               of(ram.CreateGetPolicyVersionRequest, ram.CreateGetPolicyVersionResponse),
	"Ram.DeletePolicyVersion":                            of(ram.CreateDeletePolicyVersionRequest, ram.CreateDeletePolicyVersionResponse),
	"Ram.ListPolicyVersions":                             of(ram.CreateListPolicyVersionsRequest, ram.CreateListPolicyVersionsResponse),
	"Ram.SetDefaultPolicyVersion":                        of(ram.CreateSetDefaultPolicyVersionRequest, ram.CreateSetDefaultPolicyVersionResponse),
	"Ram.AttachPolicyToUser":                             of(ram.CreateAttachPolicyToUserRequest, ram.CreateAttachPolicyToUserResponse),
	"Ram.AttachPolicyToGroup":                            of(ram.CreateAttachPolicyToGroupRequest, ram.CreateAttachPolicyToGroupResponse),
	"Ram.AttachPolicyToRole":                             of(ram.CreateAttachPolicyToRoleRequest, ram.CreateAttachPolicyToRoleResponse),
	"Ram.DetachPolicyFromUser":                           of(ram.CreateDetachPolicyFromUserRequest, ram.CreateDetachPolicyFromUserResponse),
	"Ram.DetachPolicyFromGroup":                          of(ram.CreateDetachPolicyFromGroupRequest, ram.CreateDetachPolicyFromGroupResponse),
	"Ram.DetachPolicyFromRole":                           of(ram.CreateDetachPolicyFromRoleRequest, ram.CreateDetachPolicyFromRoleResponse),
	"Ram.ListPoliciesForUser":                            of(ram.CreateListPoliciesForUserRequest, ram.CreateListPoliciesForUserResponse),
	"Ram.ListPoliciesForGroup":                           of(ram.CreateListPoliciesForGroupRequest, ram.CreateListPoliciesForGroupResponse),
	"Ram.ListPoliciesForRole":                            of(ram.CreateListPoliciesForRoleRequest, ram.CreateListPoliciesForRoleResponse),
	"Ram.ListEntitiesForPolicy":                          of(ram.CreateListEntitiesForPolicyRequest, ram.CreateListEntitiesForPolicyResponse),
	"ResourceManager.CreateServiceLinkedRole":            of(resourcemanager.CreateCreateServiceLinkedRoleRequest, resourcemanager.CreateCreateServiceLinkedRoleResponse),
	"ResourceManager.DeleteServiceLinkedRole":            of(resourcemanager.CreateDeleteServiceLinkedRoleRequest, resourcemanager.CreateDeleteServiceLinkedRoleResponse),
	"ResourceManager.GetServiceLinkedRoleDeletionStatus": of(resourcemanager.CreateGetServiceLinkedRoleDeletionStatusRequest, resourcemanager.CreateGetServiceLinkedRoleDeletionStatusResponse),
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
