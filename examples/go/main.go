// The life of an SM gateway with the Go SDK: create it, bind both certificates, rotate them, unbind, delete.
//
//	go run . ../authority
//
// The access key comes from ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET.
package main

import (
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/aliyun/alibaba-cloud-sdk-go/sdk"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/auth/credentials"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/requests"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/responses"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/kms"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/vpc"
)

const region = "cn-hangzhou"

var roles = []string{"Encryption", "Signature"}

// api sends typed requests of any product to the service.
type api struct {
	client   *sdk.Client
	endpoint string
}

func connect() (*api, error) {
	credential := credentials.NewAccessKeyCredential(os.Getenv("ALIBABA_CLOUD_ACCESS_KEY_ID"), os.Getenv("ALIBABA_CLOUD_ACCESS_KEY_SECRET"))
	client, err := sdk.NewClientWithOptions(region, sdk.NewConfig().WithScheme("HTTP"), credential)
	endpoint := os.Getenv("TONGGUAN_ENDPOINT")
	if endpoint == "" {
		endpoint = "127.0.0.1:8080"
	}
	return &api{client, endpoint}, err
}

func (a *api) do(request requests.AcsRequest, response responses.AcsResponse) error {
	request.SetDomain(a.endpoint)
	return a.client.DoAction(request, response)
}

// waitUntil asks until it holds: every change takes effect after its answer.
func waitUntil(holds func() (bool, error)) error {
	for {
		if done, err := holds(); done || err != nil {
			return err
		}
		time.Sleep(200 * time.Millisecond)
	}
}

func (a *api) waitActive(gateway string) error {
	return waitUntil(func() (bool, error) {
		request, response := vpc.CreateDescribeVpnGatewayRequest(), vpc.CreateDescribeVpnGatewayResponse()
		request.VpnGatewayId = gateway
		err := a.do(request, response)
		return response.Status == "active", err
	})
}

func (a *api) createVpc() (string, error) {
	request, response := vpc.CreateCreateVpcRequest(), vpc.CreateCreateVpcResponse()
	request.CidrBlock, request.VpcName = "192.168.0.0/16", "example"
	if err := a.do(request, response); err != nil {
		return "", err
	}
	return response.VpcId, waitUntil(func() (bool, error) {
		request, found := vpc.CreateDescribeVpcAttributeRequest(), vpc.CreateDescribeVpcAttributeResponse()
		request.VpcId = response.VpcId
		err := a.do(request, found)
		return found.Status == "Available", err
	})
}

// createVSwitches makes one in each of two zones.
func (a *api) createVSwitches(network string) ([]string, error) {
	zones := vpc.CreateDescribeZonesResponse()
	if err := a.do(vpc.CreateDescribeZonesRequest(), zones); err != nil {
		return nil, err
	}
	var made []string
	for number, zone := range zones.Zones.Zone[:2] {
		request, response := vpc.CreateCreateVSwitchRequest(), vpc.CreateCreateVSwitchResponse()
		request.VpcId, request.ZoneId, request.CidrBlock = network, zone.ZoneId, fmt.Sprintf("192.168.%d.0/24", number)
		if err := a.do(request, response); err != nil {
			return nil, err
		}
		err := waitUntil(func() (bool, error) {
			request, found := vpc.CreateDescribeVSwitchAttributesRequest(), vpc.CreateDescribeVSwitchAttributesResponse()
			request.VSwitchId = response.VSwitchId
			err := a.do(request, found)
			return found.Status == "Available", err
		})
		if err != nil {
			return nil, err
		}
		made = append(made, response.VSwitchId)
	}
	return made, nil
}

func (a *api) createGateway(network string, vswitches []string) (string, error) {
	request, response := vpc.CreateCreateVpnGatewayRequest(), vpc.CreateCreateVpnGatewayResponse()
	request.VpcId, request.VSwitchId, request.DisasterRecoveryVSwitchId = network, vswitches[0], vswitches[1]
	request.VpnType, request.InstanceChargeType, request.Name = "NationalStandard", "POSTPAY", "example"
	request.Bandwidth = requests.NewInteger(10)
	if err := a.do(request, response); err != nil {
		return "", err
	}
	return response.VpnGatewayId, a.waitActive(response.VpnGatewayId)
}

// authority stands for your own: a program that signs, and the folder where it keeps its keys.
type authority struct{ program, directory string }

// createCertificate makes a key pair, whose private key stays in the service, and has its certificate signed.
func (a *api) createCertificate(role string, ca authority) (string, error) {
	request, made := kms.CreateCreateCertificateRequest(), kms.CreateCreateCertificateResponse()
	request.KeySpec, request.Subject = "EC_SM2", fmt.Sprintf("CN=%s,OU=vpn,O=example,C=CN", role)
	if err := a.do(request, made); err != nil {
		return "", err
	}
	sign := exec.Command(ca.program, ca.directory, role)
	sign.Stdin, sign.Stderr = strings.NewReader(made.Csr), os.Stderr
	certificate, err := sign.Output()
	if err != nil {
		return "", err
	}
	chain, err := os.ReadFile(filepath.Join(ca.directory, "root.pem"))
	if err != nil {
		return "", err
	}
	upload := kms.CreateUploadCertificateRequest()
	upload.CertificateId, upload.Certificate, upload.CertificateChain = made.CertificateId, string(certificate), string(chain)
	return made.CertificateId, a.do(upload, kms.CreateUploadCertificateResponse())
}

func (a *api) deleteCertificate(certificate string) error {
	request := kms.CreateDeleteCertificateRequest()
	request.CertificateId = certificate
	return a.do(request, kms.CreateDeleteCertificateResponse())
}

func (a *api) bind(gateway, role, certificate string) error {
	request := vpc.CreateAssociateVpnGatewayWithCertificateRequest()
	request.VpnGatewayId, request.CertificateType, request.CertificateId = gateway, role, certificate
	if err := a.do(request, vpc.CreateAssociateVpnGatewayWithCertificateResponse()); err != nil {
		return err
	}
	return a.waitActive(gateway)
}

func (a *api) unbind(gateway, role, certificate string) error {
	request := vpc.CreateDissociateVpnGatewayWithCertificateRequest()
	request.VpnGatewayId, request.CertificateType, request.CertificateId = gateway, role, certificate
	if err := a.do(request, vpc.CreateDissociateVpnGatewayWithCertificateResponse()); err != nil {
		return err
	}
	return a.waitActive(gateway)
}

// bound is the certificates of a gateway, by role.
func (a *api) bound(gateway string) (map[string]string, error) {
	request, response := vpc.CreateListVpnCertificateAssociationsRequest(), vpc.CreateListVpnCertificateAssociationsResponse()
	request.VpnGatewayId = &[]string{gateway}
	err := a.do(request, response)
	found := map[string]string{}
	for _, relation := range response.VpnCertificateRelations {
		found[relation.CertificateType] = relation.CertificateId
	}
	return found, err
}

func (a *api) show(title, gateway string) error {
	held, err := a.bound(gateway)
	fmt.Println(title)
	for _, role := range roles {
		fmt.Printf("%s: %s\n", role, held[role])
	}
	return err
}

// rotate replaces a certificate. A role holds one at a time, so the old one leaves before the new one is bound.
func (a *api) rotate(gateway, role string, ca authority) error {
	held, err := a.bound(gateway)
	if err != nil {
		return err
	}
	replacement, err := a.createCertificate(role, ca)
	if err != nil {
		return err
	}
	if err := a.unbind(gateway, role, held[role]); err != nil {
		return err
	}
	if err := a.bind(gateway, role, replacement); err != nil {
		return err
	}
	if err := a.deleteCertificate(held[role]); err != nil {
		return err
	}
	fmt.Printf("Rotated %s: %s to %s.\n", role, held[role], replacement)
	return nil
}

func (a *api) deleteGateway(gateway string) error {
	held, err := a.bound(gateway)
	if err != nil {
		return err
	}
	for role, certificate := range held {
		if err := a.unbind(gateway, role, certificate); err != nil {
			return err
		}
		if err := a.deleteCertificate(certificate); err != nil {
			return err
		}
	}
	request := vpc.CreateDeleteVpnGatewayRequest()
	request.VpnGatewayId = gateway
	if err := a.do(request, vpc.CreateDeleteVpnGatewayResponse()); err != nil {
		return err
	}
	return waitUntil(func() (bool, error) {
		request, left := vpc.CreateDescribeVpnGatewaysRequest(), vpc.CreateDescribeVpnGatewaysResponse()
		request.VpnGatewayId = gateway
		err := a.do(request, left)
		return left.TotalCount == 0, err
	})
}

func (a *api) deleteNetwork(network string, vswitches []string) error {
	for _, vswitch := range vswitches {
		request := vpc.CreateDeleteVSwitchRequest()
		request.VSwitchId = vswitch
		if err := a.do(request, vpc.CreateDeleteVSwitchResponse()); err != nil {
			return err
		}
	}
	err := waitUntil(func() (bool, error) {
		request, left := vpc.CreateDescribeVSwitchesRequest(), vpc.CreateDescribeVSwitchesResponse()
		request.VpcId = network
		err := a.do(request, left)
		return left.TotalCount == 0, err
	})
	if err != nil {
		return err
	}
	request := vpc.CreateDeleteVpcRequest()
	request.VpcId = network
	return a.do(request, vpc.CreateDeleteVpcResponse())
}

func life(program string) error {
	directory, err := os.MkdirTemp("", "authority-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(directory)
	ca := authority{program, directory}
	a, err := connect()
	if err != nil {
		return err
	}
	network, err := a.createVpc()
	if err != nil {
		return err
	}
	vswitches, err := a.createVSwitches(network)
	if err != nil {
		return err
	}
	gateway, err := a.createGateway(network, vswitches)
	if err != nil {
		return err
	}
	fmt.Printf("Gateway %s is active.\n", gateway)
	for _, role := range roles {
		certificate, err := a.createCertificate(role, ca)
		if err != nil {
			return err
		}
		if err := a.bind(gateway, role, certificate); err != nil {
			return err
		}
	}
	if err := a.show("Both certificates are bound:", gateway); err != nil {
		return err
	}
	for _, role := range roles {
		if err := a.rotate(gateway, role, ca); err != nil {
			return err
		}
	}
	if err := a.show("The new certificates are bound:", gateway); err != nil {
		return err
	}
	if err := a.deleteGateway(gateway); err != nil {
		return err
	}
	if err := a.deleteNetwork(network, vswitches); err != nil {
		return err
	}
	fmt.Println("Everything is deleted again.")
	return nil
}

func main() {
	program := "../authority"
	if len(os.Args) > 1 {
		program = os.Args[1]
	}
	if err := life(program); err != nil {
		log.Fatal(err)
	}
}
