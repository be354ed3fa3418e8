//! One request on a resource: everything its verb needs to know.

use std::sync::{Arc, Mutex, PoisonError};

use api::status::Status;
use bytes::Bytes;
use http::HeaderMap;

use crate::audit::Record;
use crate::body::{self, Body};
use crate::core::Core;
use crate::decode;
use crate::flowcontrol::Seat;
use crate::media::Accepted;
use crate::options::WriteOptions;
use crate::pipeline::Target;
use crate::query::Query;
use crate::registry::Descriptor;
use crate::request::RequestInfo;
use crate::user::UserInfo;
use crate::warnings::Warnings;

/// A request from whom it came, as far as its path and query say what it is.
pub(crate) struct Asked {
    pub user: UserInfo,
    pub info: RequestInfo,
    pub query: Query,
    /// `None`: it is not limited.
    pub seat: Option<Seat>,
    /// `None`: it is not audited.
    pub record: Option<Arc<Record>>,
}

pub(crate) struct Call {
    pub core: Arc<Core>,
    pub user: UserInfo,
    pub info: RequestInfo,
    pub query: Query,
    pub headers: HeaderMap,
    pub row: Arc<Descriptor>,
    pub accepted: Accepted,
    pub warnings: Warnings,
    /// Who writes, as managedFields name it.
    pub manager: String,
    /// What the request holds until it is answered; who answers for longer takes it.
    pub seat: Mutex<Option<Seat>>,
}

impl Call {
    /// The namespace of the object, empty for cluster-scoped kinds.
    pub fn namespace(&self) -> &str {
        if self.row.info.namespaced { &self.info.namespace } else { "" }
    }

    pub fn take_seat(&self) -> Option<Seat> {
        self.seat.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub fn target(&self, dry_run: bool) -> Target<'_> {
        Target {
            core: &self.core,
            user: &self.user,
            row: &self.row,
            subresource: &self.info.subresource,
            namespace: self.namespace(),
            manager: &self.manager,
            dry_run,
            warnings: &self.warnings,
            query: Some(&self.query),
        }
    }

    /// The body as an object of the row's kind, in the stored form.
    pub async fn object(&self, body: Body, options: &WriteOptions) -> Result<api::Object, Status> {
        let bytes = self.bytes(body).await?;
        let content_type = decode::content_type(&self.headers);
        let decoded = match &self.row.custom {
            Some(custom) => decode::custom(&bytes, content_type, custom, options.field_validation)?,
            None => decode::object(&bytes, content_type, &self.row.gvk(), options.field_validation)?,
        };
        self.warnings.extend(decoded.warnings);
        let mut object = decoded.object;
        if let Some(shape) = self.row.shape {
            shape.store(&mut object);
        }
        Ok(object)
    }

    pub async fn bytes(&self, body: Body) -> Result<Bytes, Status> {
        let bytes = body::read(body).await?;
        if let Some(record) = self.warnings.record() {
            record.sent(&bytes, decode::content_type(&self.headers));
        }
        Ok(bytes)
    }
}
