//! ListVpnCertificateAssociations: which certificates are bound to which gateways of a region.
//!
//! Source: `docs/api/vpc/ListVpnCertificateAssociations.json`. The array stands directly under
//! `VpnCertificateRelations`. A binding is listed from the moment it is in force until it is removed.

use tongguan_store::{BindingFilter, BindingRow, Snapshot};

use crate::api::vpc::{
    ListVpnCertificateAssociations, ListVpnCertificateAssociationsOutput,
    ListVpnCertificateAssociationsVpnCertificateRelations as Relation,
};
use crate::call::Call;
use crate::context::iso8601;
use crate::marker::Markers;
use crate::operation::{Failure, Read};

impl Read for ListVpnCertificateAssociations {
    type Output = ListVpnCertificateAssociationsOutput;

    fn answer(&self, call: &Call, snapshot: &Snapshot<'_>) -> Result<Self::Output, Failure> {
        let (account, region, size) = (&call.principal.account, self.region.id, self.max_results);
        let filter = BindingFilter {
            gateways: self.vpn_gateway_id.clone(),
            certificates: self.certificate_id.clone(),
            role: self.certificate_type,
        };
        let mut page = snapshot.bindings(account, region, &filter, self.next_token, size + 1)?;
        let more = page.items.len() as u64 > size;
        page.items.truncate(size as usize);
        let last = page.items.last().filter(|_| more);
        let next_token = last.map(|last| Markers::of(call)?.of_row(last.seq)).transpose()?;
        let relations = page.items.into_iter().map(|row| relation(row, region));
        Ok(Self::Output {
            vpn_certificate_relations: relations.collect(),
            max_results: size.cast_signed(),
            total_count: page.total.cast_signed(),
            next_token: next_token.map(Into::into),
        })
    }
}

fn relation(row: BindingRow, region: &'static str) -> Relation {
    Relation {
        vpn_gateway_id: row.binding.gateway.into(),
        certificate_id: row.binding.named.into(),
        certificate_type: row.binding.role.as_str().into(),
        association_time: iso8601(row.binding.associated_ms).into(),
        region_id: region.into(),
    }
}
