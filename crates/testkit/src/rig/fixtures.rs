//! What tests want to be there: gateways, certificates, bindings, users.

use serde_json::{Value, json};
use tongguan_pki::{KeySpec, Usage};

use super::{Reply, Rig, START_MS};
use crate::api::{REGION, RESOURCE_MANAGER};
use crate::{Caller, Issuer};

impl Rig {
    /// An active gateway of this type.
    pub async fn gateway(&self, vpn_type: &str) -> String {
        let vpc = self.call("CreateVpc", &[("RegionId", REGION)]).await.ok();
        self.settle().await;
        let vpc = vpc["VpcId"].as_str().unwrap();
        self.gateway_in(vpc, vpn_type).await
    }

    /// The same, in this VPC.
    pub async fn gateway_in(&self, vpc: &str, vpn_type: &str) -> String {
        let parameters = [("RegionId", REGION), ("VpcId", vpc), ("Bandwidth", "10"), ("VpnType", vpn_type)];
        let gateway = self.call("CreateVpnGateway", &parameters).await.ok();
        self.settle().await;
        gateway["VpnGatewayId"].as_str().unwrap().to_owned()
    }

    /// An ACTIVE certificate of this kind, issued by a CA of the test's own.
    pub async fn certificate(&self, spec: &str) -> String {
        self.certificate_for(spec, Usage::Both).await
    }

    /// The same, with the keyUsage of this use.
    pub async fn certificate_for(&self, spec: &str, usage: Usage) -> String {
        let id = self.pending_certificate(spec).await;
        let (leaf, chain) = issue_for(spec.parse().unwrap(), &self.csr(&id).await, usage);
        let upload = [("CertificateId", id.as_str()), ("Certificate", &leaf), ("CertificateChain", &chain)];
        self.kms("UploadCertificate", &upload).await.ok();
        id
    }

    /// A resource group of this name that is ready: its id.
    pub async fn resource_group(&self, name: &str) -> String {
        let parameters = [("Name", name), ("DisplayName", name)];
        let made =
            self.by(&Caller::named("root"), RESOURCE_MANAGER, "CreateResourceGroup", &parameters).await.ok();
        self.settle().await;
        made["ResourceGroup"]["Id"].as_str().unwrap().to_owned()
    }

    /// A certificate that is not uploaded yet.
    pub async fn pending_certificate(&self, spec: &str) -> String {
        let parameters = [("KeySpec", spec), ("Subject", "CN=a,OU=b,O=c,C=CN")];
        let made = self.kms("CreateCertificate", &parameters).await.ok();
        made["CertificateId"].as_str().unwrap().to_owned()
    }

    /// The signing request of a certificate.
    pub async fn csr(&self, certificate: &str) -> String {
        let shown = self.kms("GetCertificate", &[("CertificateId", certificate)]).await.ok();
        shown["Csr"].as_str().unwrap().to_owned()
    }

    /// Binds a certificate in a role.
    pub async fn bind(&self, gateway: &str, certificate: &str, role: &str) -> Reply {
        self.call("AssociateVpnGatewayWithCertificate", &triple(gateway, certificate, role)).await
    }

    /// Unbinds it.
    pub async fn unbind(&self, gateway: &str, certificate: &str, role: &str) -> Reply {
        self.call("DissociateVpnGatewayWithCertificate", &triple(gateway, certificate, role)).await
    }

    /// (certificate, role) of what the list shows on a gateway.
    pub async fn listed(&self, gateway: &str) -> Vec<(String, String)> {
        let parameters = [("RegionId", REGION), ("VpnGatewayId.1", gateway)];
        let list = self.call("ListVpnCertificateAssociations", &parameters).await.ok();
        let relations = list["VpnCertificateRelations"].as_array().unwrap();
        assert_eq!(list["TotalCount"], relations.len());
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let mut rows: Vec<_> =
            relations.iter().map(|r| (text(&r["CertificateId"]), text(&r["CertificateType"]))).collect();
        rows.sort();
        rows
    }

    /// The status that DescribeVpnGateway shows.
    pub async fn status(&self, gateway: &str) -> String {
        let parameters = [("RegionId", REGION), ("VpnGatewayId", gateway)];
        let shown = self.call("DescribeVpnGateway", &parameters).await.ok();
        shown["Status"].as_str().unwrap().to_owned()
    }

    /// A new RAM user with a policy of these statements (none: no policy), and its key.
    pub async fn user(&self, name: &str, statements: &Value) -> Caller {
        self.ram("CreateUser", &[("UserName", name)]).await;
        if statements.as_array().is_some_and(|statements| !statements.is_empty()) {
            let document = json!({"Version": "1", "Statement": statements}).to_string();
            self.ram("CreatePolicy", &[("PolicyName", name), ("PolicyDocument", &document)]).await;
            let attach = [("UserName", name), ("PolicyName", name), ("PolicyType", "Custom")];
            self.ram("AttachPolicyToUser", &attach).await;
        }
        Caller::created(&self.ram("CreateAccessKey", &[("UserName", name)]).await)
    }
}

/// The parameters of a binding.
pub fn triple<'a>(gateway: &'a str, certificate: &'a str, role: &'a str) -> [(&'a str, &'a str); 4] {
    [
        ("RegionId", REGION),
        ("VpnGatewayId", gateway),
        ("CertificateId", certificate),
        ("CertificateType", role),
    ]
}

/// Certificate and chain for a request.
pub fn issue(spec: KeySpec, csr: &str) -> (String, String) {
    issue_for(spec, csr, Usage::Both)
}

/// The same, with the keyUsage of this use. Valid from the day before every rig begins, for a year.
pub fn issue_for(spec: KeySpec, csr: &str, usage: Usage) -> (String, String) {
    let (from, to) = (START_MS / 1000 - 86_400, START_MS / 1000 + 86_400 * 365);
    Issuer::new(spec, from, to).issue(csr, usage)
}
