//! DescribeCertificate: returns a certificate's metadata. Source: `docs/api/kms/DescribeCertificate.json`.
//!
//! The disabled state is answered as `INACTIVE`; names are an array and tags an object, as the SDKs
//! decode them.

use std::collections::BTreeMap;

use crate::api::kms::{DescribeCertificate, DescribeCertificateOutput};
use crate::context::{iso8601, iso8601_seconds};
use crate::operation::prelude::*;

use super::{arn, existing};

impl Read for DescribeCertificate {
    type Output = DescribeCertificateOutput;

    fn answer(&self, call: &Call, snapshot: &Snapshot<'_>) -> Result<Self::Output, Failure> {
        let certificate = existing(snapshot.certificate(&call.principal.account, &self.certificate_id)?)?;
        let mut output = Self::Output {
            arn: arn(&certificate).into(),
            certificate_id: certificate.id.to_string().into(),
            status: certificate.status.as_str().into(),
            key_spec: certificate.key_spec.into(),
            subject: certificate.subject.into(),
            subject_alternative_names: certificate.dns_names.into_iter().map(Into::into).collect(),
            subject_public_key: certificate.public_key.into(),
            exportable_private_key: certificate.exportable,
            created_at: iso8601(certificate.created_ms).into(),
            updated_at: iso8601(certificate.updated_ms).into(),
            // No operation of this release puts tags on a certificate.
            tags: BTreeMap::new(),
            ..Self::Output::default()
        };
        if let Some(issued) = certificate.issued {
            output.subject = issued.subject.into();
            output.issuer = Some(issued.issuer.into());
            output.serial = Some(issued.serial.into());
            output.signature_algorithm = Some(issued.signature_algorithm.into());
            output.subject_key_identifier = Some(issued.subject_key_identifier.into());
            output.not_before = Some(iso8601_seconds(issued.not_before).into());
            output.not_after = Some(iso8601_seconds(issued.not_after).into());
        }
        Ok(output)
    }
}
