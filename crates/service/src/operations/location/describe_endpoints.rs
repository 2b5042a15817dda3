//! DescribeEndpoints: finds the endpoint of a service, which is this server.
//!
//! Source: `docs/api/location/DescribeEndpoints.json`. `SerivceCode` is misspelt on the wire; the right
//! spelling stands beside it. An unknown service has no endpoints; an unknown region is an error.

use tongguan_model::region::{self, Region};

use crate::api::location::{DescribeEndpoints, DescribeEndpointsEndpointsEndpoint, DescribeEndpointsOutput};
use crate::args::Args;
use crate::call::Call;
use crate::catalogue::{self as c, Refusal};
use crate::operation::{Failure, Product, Pure};

/// The region that is named by its id.
pub(crate) fn region(args: &Args<'_>, name: &'static str) -> Result<&'static Region, Refusal> {
    region::find(args.required(name)).ok_or_else(|| Refusal::new(&c::REGION_NOT_FOUND_LOCATION))
}

impl Pure for DescribeEndpoints {
    type Output = DescribeEndpointsOutput;

    fn answer(&self, call: &Call) -> Result<Self::Output, Failure> {
        let mut endpoints = Vec::new();
        let served = |product: &Product| product.as_str().eq_ignore_ascii_case(&self.service_code);
        if Product::ALL.iter().any(served) {
            let own = call.context.settings.endpoint.as_ref().unwrap_or(&call.host);
            endpoints.push(DescribeEndpointsEndpointsEndpoint {
                protocols: vec![if call.peer.secure { "HTTPS" } else { "HTTP" }.into()],
                r#type: self.r#type.clone().into(),
                namespace: "tongguan".into(),
                id: self.id.id.into(),
                serivce_code: self.service_code.clone().into(),
                service_code: self.service_code.clone().into(),
                endpoint: own.clone().into(),
            });
        }
        Ok(Self::Output { success: true, endpoints })
    }
}
