//! DeleteVpnAttachment: removes an attachment, at once. Source: `docs/api/vpc/DeleteVpnAttachment.json`.

use tongguan_store::Tx;

use crate::api::vpc::{DeleteVpnAttachment, DeleteVpnAttachmentOutput};
use crate::call::Call;
use crate::operation::{Failure, Write};

use super::attachments::attachment_in;

impl Write for DeleteVpnAttachment {
    type Output = DeleteVpnAttachmentOutput;

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        let found = tx.connection(&call.principal.account, &self.vpn_connection_id)?;
        tx.delete_connection(&attachment_in(found, self.region)?)?;
        Ok(Self::Output { code: "200".into(), message: "successful".into(), success: true })
    }
}
