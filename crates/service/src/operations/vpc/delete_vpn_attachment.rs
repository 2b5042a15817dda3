//! DeleteVpnAttachment: removes an attachment that no routes lead over, at once.
//!
//! Source: `docs/api/vpc/DeleteVpnAttachment.json`.

use tongguan_store::Tx;

use crate::api::vpc::{DeleteVpnAttachment, DeleteVpnAttachmentOutput};
use crate::call::Call;
use crate::operation::{Failure, Write};

use super::attachments::attachment_in;
use super::connections::leads_nowhere;

impl Write for DeleteVpnAttachment {
    type Output = DeleteVpnAttachmentOutput;

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        let found = tx.connection(&call.principal.account, &self.vpn_connection_id)?;
        let attachment = attachment_in(found, self.region)?;
        leads_nowhere(tx, &attachment)?;
        tx.delete_attachment(&attachment)?;
        Ok(Self::Output { code: "200".into(), message: "successful".into(), success: true })
    }
}
