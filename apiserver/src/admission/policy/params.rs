//! The parameters of a policy: the objects that a binding refers to.

use api::Object;
use api::meta::Meta;

use super::object::{ParamRef, Policy, Wanted};
use crate::admission::Reader;
use crate::registry::{Descriptor, Registry};

/// The row of the kind of a policy's parameters; `None` when it has none.
///
/// # Errors
/// There is no such kind.
pub fn row<E>(policy: &Policy<E>, registry: &Registry) -> Result<Option<std::sync::Arc<Descriptor>>, String> {
    let Some(kind) = &policy.param_kind else { return Ok(None) };
    match registry.of_kind(kind) {
        Some(row) => Ok(Some(row)),
        None => Err(format!("failed to find resource referenced by paramKind: '{}'", kind.go_string())),
    }
}

/// Each of them is one evaluation; `None` is one without parameters. `namespace` is that of the request.
///
/// # Errors
/// The reference is wrong for the kind, or what it refers to is not there and has to be.
pub async fn collect(
    row: Option<&Descriptor>,
    reference: Option<&ParamRef>,
    namespace: &str,
    reader: &dyn Reader,
) -> Result<Vec<Option<Object>>, String> {
    let (Some(row), Some(reference)) = (row, reference) else { return Ok(vec![None]) };
    let namespace = match (row.info.namespaced, reference.namespace.as_str()) {
        (true, "") if namespace.is_empty() => {
            return Err(
                "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources".to_owned()
            );
        }
        (true, "") => namespace,
        (true, own) => own,
        (false, "") => "",
        (false, _) => {
            return Err("paramRef.namespace must not be provided for a cluster-scoped `paramKind`".to_owned());
        }
    };
    let name = match &reference.wanted {
        Wanted::Named(name) => Some(name.as_str()),
        Wanted::Selected(_) => None,
    };
    let mut found = reader.shown(row, namespace, name).await.map_err(|status| status.message)?;
    if let Wanted::Selected(selector) = &reference.wanted {
        found.retain(|object| selector.matches_object(object));
    }
    found.sort_by(|a, b| (a.namespace(), a.name()).cmp(&(b.namespace(), b.name())));
    if found.is_empty() && reference.required {
        return Err("no params found for policy binding with `Deny` parameterNotFoundAction".to_owned());
    }
    Ok(found.into_iter().map(Some).collect())
}
