//! What policies and webhooks are told about a request (`admission.k8s.io/v1 AdmissionRequest`).

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use api::Object;
use api::gvk::GroupVersionKind;
use api::schema::{SchemaSet, TypeId};
use api::selector::LabelSelector;
use api::status::{Qualified, Status};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::matching::{Asked, Form, Resources, Versions};
use super::{Attributes, Operation};
use crate::decode::{self, Conformed};
use crate::empties::Empties;
use crate::registry::{Descriptor, Registry};
use crate::subresources::{put_scale, scale_of};

/// One request. What is asked for several times is made once.
pub struct Facts<'a> {
    pub cx: &'a Attributes<'a>,
    object: Option<&'a Object>,
    registry: &'a Registry,
    others: OnceLock<Vec<Arc<Descriptor>>>,
    namespace: OnceCell<Object>,
}

impl<'a> Facts<'a> {
    /// `object` is `None` for deletions.
    pub fn new(cx: &'a Attributes<'a>, object: Option<&'a Object>, registry: &'a Registry) -> Self {
        Self { cx, object, registry, others: OnceLock::new(), namespace: OnceCell::new() }
    }

    /// A Namespace is in the namespace that it is.
    pub fn namespace(&self) -> &'a str {
        if self.is_namespace() { self.name() } else { self.cx.namespace }
    }

    /// May be empty while a create waits for its generated name.
    pub fn name(&self) -> &'a str {
        self.cx.name
    }

    fn is_namespace(&self) -> bool {
        self.cx.resource.group.is_empty() && self.cx.resource.plural == "namespaces"
    }

    fn old(&self) -> Option<&'a Object> {
        // To whom one connects is not changed.
        self.cx.old.filter(|_| self.cx.operation != Operation::Connect)
    }

    /// In which form something wants the request that is about these resources; `None` when it is not about the request.
    ///
    /// # Errors
    /// The labels of the namespace, which it is selected by, cannot be read.
    pub async fn form(&self, resources: &Resources) -> Result<Option<Form>, Status> {
        let (subresource, operation) = (self.cx.subresource, self.cx.operation);
        let asked = Asked { operation, subresource, namespace: self.namespace(), name: self.name() };
        let Some(form) = resources.form(&asked, self.cx.row, self) else { return Ok(None) };
        if !resources.selects(self.object, self.old()) || !self.in_selected(&resources.namespaces).await? {
            return Ok(None);
        }
        Ok(Some(form))
    }

    async fn in_selected(&self, selector: &LabelSelector) -> Result<bool, Status> {
        if selector.is_everything() || self.namespace().is_empty() && !self.is_namespace() {
            return Ok(true);
        }
        if self.is_namespace() && self.cx.subresource.is_empty() && self.cx.operation != Operation::Delete {
            return Ok(self.object.is_some_and(|object| selector.matches_object(object)));
        }
        Ok(selector.matches_object(self.namespace_object().await?))
    }

    /// The namespace that the request is in.
    ///
    /// # Errors
    /// NotFound.
    pub async fn namespace_object(&self) -> Result<&Object, Status> {
        let read = async {
            let (reader, name) = (self.cx.reader, self.namespace());
            if let Some(row) = self.registry.find("", "namespaces")
                && let Some(cached) = reader.cached(row, "", name)?
            {
                return Ok(cached);
            }
            // It may be too new for the cache.
            let found = reader.get("", "namespaces", "", name).await?;
            found.ok_or_else(|| Status::not_found(Qualified::new("", "namespaces"), name))
        };
        self.namespace.get_or_try_init(|| read).await
    }

    /// The variable `namespaceObject`: null for what is in no namespace, and for namespaces.
    ///
    /// # Errors
    /// As [`Facts::namespace_object`].
    pub async fn shown_namespace(&self) -> Result<Value, Status> {
        if self.namespace().is_empty() || self.is_namespace() {
            return Ok(Value::Null);
        }
        let mut object = self.namespace_object().await?.clone();
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            for hidden in ["managedFields", "ownerReferences", "selfLink"] {
                metadata.remove(hidden);
            }
        }
        if let Some(members) = object.as_object_mut() {
            members.retain(|key, _| matches!(key.as_str(), "metadata" | "spec" | "status"));
        }
        Ok(object)
    }

    /// What the object of the request is in a form; null where there is none.
    ///
    /// # Errors
    /// It cannot be converted.
    pub async fn shown_object(&self, form: &Form) -> Result<Cow<'a, Value>, Status> {
        self.shown(self.object, form).await
    }

    /// Both what the object is and what it was.
    ///
    /// # Errors
    /// One cannot be converted.
    pub async fn shown_both(&self, form: &Form) -> Result<(Cow<'a, Value>, Cow<'a, Value>), Status> {
        Ok((self.shown_object(form).await?, self.shown_old(form).await?))
    }

    /// What the object was.
    ///
    /// # Errors
    /// It cannot be converted.
    pub async fn shown_old(&self, form: &Form) -> Result<Cow<'a, Value>, Status> {
        self.shown(self.old(), form).await
    }

    async fn shown(&self, object: Option<&'a Object>, form: &Form) -> Result<Cow<'a, Value>, Status> {
        static NONE: Value = Value::Null;
        let Some(object) = object else { return Ok(Cow::Borrowed(&NONE)) };
        let row = form.row(self.cx.row);
        if self.cx.subresource == "scale" {
            return scale_of(self.cx.row, object).map(Cow::Owned);
        }
        let mut shown = Cow::Borrowed(object);
        if Empties::possible(object) {
            let _ = Empties::take(shown.to_mut());
        }
        if let Some(shape) = row.shape {
            shape.serve(shown.to_mut());
        } else if matches!(form, Form::Other(_)) && row.custom.is_some() {
            shown = Cow::Owned(self.converted(row, shown.into_owned()).await?);
        }
        Ok(shown)
    }

    /// What was made of a shown object, as the request has objects: the inverse of [`Facts::shown_object`].
    ///
    /// # Errors
    /// It cannot be converted, or is of no form that could be taken back.
    pub async fn taken_back(&self, mut object: Value, form: &Form) -> Result<Object, Status> {
        let (row, own) = (form.row(self.cx.row), self.cx.row);
        if self.cx.subresource == "scale" {
            let mut parent = self.object.cloned().unwrap_or_default();
            put_scale(own, &object, &mut parent);
            return Ok(parent);
        }
        if let Some(shape) = row.shape {
            shape.store(&mut object);
        } else if matches!(form, Form::Other(_)) && own.custom.is_some() {
            object = self.converted(own, object).await?;
        }
        Ok(object)
    }

    /// The type of what is shown in a form; `None` where no document of its group version has one.
    pub fn types<'t>(&'t self, form: &'t Form) -> Option<(&'t SchemaSet, TypeId)> {
        let row = form.row(self.cx.row);
        let kind = self.kind(form);
        if kind == row.gvk() {
            return row.types();
        }
        let is_served = self.registry.all().any(|row| row.gvk() == kind);
        SchemaSet::builtin().of_kind(&kind).filter(|_| is_served).map(|ty| (SchemaSet::builtin(), ty))
    }

    /// Makes what was made of a shown object one of its kind: what the kind does not have is dropped.
    pub fn conform(&self, object: &mut Value, form: &Form) -> Conformed {
        let kind = self.kind(form);
        let custom = form.row(self.cx.row).custom.as_deref().filter(|custom| *custom.gvk() == kind);
        let ty = SchemaSet::builtin().of_kind(&kind).filter(|_| custom.is_none());
        decode::conform(custom, ty, object).unwrap_or_default()
    }

    async fn converted(&self, row: &Descriptor, object: Object) -> Result<Object, Status> {
        Ok(self.cx.reader.converted(row, vec![object]).await?.pop().unwrap_or_default())
    }

    pub fn kind(&self, form: &Form) -> GroupVersionKind {
        let info = &form.row(self.cx.row).info;
        match info.subresource(self.cx.subresource) {
            Some(subresource) => subresource.kind.clone(),
            None => info.gvk(),
        }
    }

    /// The request without its objects. A policy's match conditions see the resource of the request, all else that of the form.
    pub fn request(&self, resource: &Form, kind: &Form) -> Value {
        let cx = self.cx;
        let gvk = |kind: GroupVersionKind| json!({"group": kind.group, "version": kind.version, "kind": kind.kind});
        let gvr = |form: &Form| {
            let info = &form.row(cx.row).info;
            json!({"group": info.group, "version": info.version, "resource": info.plural})
        };
        let user = cx.user;
        let mut shown = json!({
            "kind": gvk(self.kind(kind)), "resource": gvr(resource),
            "requestKind": gvk(self.kind(&Form::Own)), "requestResource": gvr(&Form::Own),
            "operation": cx.operation.as_str(), "dryRun": cx.dry_run, "userInfo": {},
            "options": cx.options(),
        });
        let texts = [
            ("subResource", cx.subresource),
            ("requestSubResource", cx.subresource),
            ("name", self.name()),
            ("namespace", self.namespace()),
        ];
        for (key, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
            shown[key] = text.into();
        }
        let info = &mut shown["userInfo"];
        for (key, text) in
            [("username", &user.name), ("uid", &user.uid)].into_iter().filter(|(_, text)| !text.is_empty())
        {
            info[key] = text.as_str().into();
        }
        if !user.groups.is_empty() {
            info["groups"] = user.groups.clone().into();
        }
        if !user.extra.is_empty() {
            info["extra"] = json!(user.extra);
        }
        shown
    }

    /// 403 about the object of the request, which may have no name yet.
    pub fn forbidden(&self, why: &str) -> Status {
        self.cx.forbidden(self.object.unwrap_or(&Value::Null), why)
    }
}

impl Versions for Facts<'_> {
    fn others(&self) -> &[Arc<Descriptor>] {
        self.others.get_or_init(|| {
            let mut versions = self.registry.versions(self.cx.row);
            versions.retain(|row| row.info.gvr() != self.cx.resource.gvr());
            versions
        })
    }
}
