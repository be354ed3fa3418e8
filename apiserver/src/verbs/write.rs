//! POST and PUT.

use api::Object;
use api::status::Status;
use http::StatusCode;

use crate::body::Body;
use crate::call::Call;
use crate::core::Existing;
use crate::options::WriteOptions;
use crate::pipeline::{Change, Committed, Decoded};
use crate::reply::Reply;

pub(crate) async fn create(call: &Call, body: Body) -> Result<Reply, Status> {
    let options = WriteOptions::parse(&call.query, "CreateOptions")?;
    let object = call.object(body, &options).await?;
    let committed = call.target(options.dry_run).create(Decoded::new(object)).await?;
    Ok(Reply::Object { code: StatusCode::CREATED, json: committed.json })
}

/// Also of /status and the other subresources that speak the parent's kind.
pub(crate) async fn update(call: &Call, body: Body) -> Result<Reply, Status> {
    let options = WriteOptions::parse(&call.query, "UpdateOptions")?;
    let mut object = call.object(body, &options).await?;
    crate::metadata::match_namespace(&mut object, call.namespace())?;
    crate::metadata::match_name(&object, &call.info.name)?;
    let committed = call.target(options.dry_run).update(&call.info.name, &Replace(object)).await?;
    Ok(reply(committed))
}

pub(crate) fn reply(committed: Committed) -> Reply {
    let code = if committed.created { StatusCode::CREATED } else { StatusCode::OK };
    Reply::Object { code, json: committed.json }
}

struct Replace(Object);

impl Change for Replace {
    fn apply(&self, _old: &Existing) -> Result<Decoded, Status> {
        Ok(Decoded::new(self.0.clone()))
    }

    fn create(&self) -> Result<Option<Decoded>, Status> {
        Ok(Some(Decoded::new(self.0.clone())))
    }

    fn names_uid(&self) -> bool {
        true
    }
}
