//! DELETE of one object and of a collection.

use std::sync::Arc;

use api::status::{Reason, Status};
use http::StatusCode;

use crate::body::Body;
use crate::call::Call;
use crate::decode;
use crate::media::View;
use crate::options::DeleteOptions;
use crate::pipeline::{Deleted, success};
use crate::reply::Reply;
use crate::verbs::list::{select, wanted};

pub(crate) async fn delete(call: &Call, body: Body) -> Result<Reply, Status> {
    let options = options(call, body).await?;
    match call.target(options.dry_run).delete(&call.info.name, &options).await? {
        // Only those who ask for it in the old way learn by the code that something keeps the object (upstream).
        Deleted::Kept(json) => {
            let accepted = options.orphan_dependents == Some(false);
            Ok(Reply::Object { code: if accepted { StatusCode::ACCEPTED } else { StatusCode::OK }, json })
        }
        // What has no type is not filled in on its way out.
        Deleted::Emptied(value) if call.row.custom.is_some() && call.accepted.view == View::Whole => {
            Ok(Reply::Value { code: StatusCode::OK, value })
        }
        Deleted::Emptied(value) => Ok(Reply::ok(value.to_string().into())),
        Deleted::Removed(json) if call.row.info.returns_deleted => Ok(Reply::ok(json)),
        Deleted::Removed(json) => Ok(Reply::Value { code: StatusCode::OK, value: success(&call.row, &json) }),
    }
}

/// Deletes what the selectors choose, one by one. Answers with the list of them as they were.
pub(crate) async fn delete_collection(call: &Call, body: Body) -> Result<Reply, Status> {
    // Upstream reads the options of the list first.
    wanted(call, false)?;
    let options = options(call, body).await?;
    let list = select(call).await?;
    for item in &list.items {
        let mut target = call.target(options.dry_run);
        let namespace = Arc::clone(item);
        target.namespace = &namespace.namespace;
        match target.delete(&item.name, &options).await {
            Ok(_) => {}
            // Somebody else was faster.
            Err(status) if status.reason == Reason::NotFound => {}
            Err(status) => return Err(status),
        }
    }
    Ok(Reply::List(list))
}

async fn options(call: &Call, body: Body) -> Result<DeleteOptions, Status> {
    let bytes = call.bytes(body).await?;
    let options = if bytes.is_empty() {
        DeleteOptions::parse(&call.query, None)?
    } else {
        let body = decode::options(&bytes, decode::content_type(&call.headers), "DeleteOptions")?;
        DeleteOptions::parse(&call.query, Some(&body))?
    };
    if call.row.info.kind == "Job"
        && call.row.orphans_by_default()
        && options.propagation.is_none()
        && options.orphan_dependents.is_none()
    {
        call.warnings.add(
            "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or \
             set propagationPolicy=Orphan to suppress this warning",
        );
    }
    Ok(options)
}
