//! What an expression can use: variables, types, libraries.

use std::collections::BTreeMap;

use crate::check::{self, Checked};
use crate::issue::Issues;
use crate::library::{Libraries, Library};
use crate::patch;
use crate::schema::ObjectTypes;
use crate::syntax;
use crate::types::Type;

#[derive(Clone, Debug)]
pub struct Env {
    pub(crate) libraries: Libraries,
    /// Literals are checked: lists and maps have elements of one type, times and patterns can be read.
    pub(crate) strict: bool,
    variables: BTreeMap<String, Type>,
    types: ObjectTypes,
    /// Expressions may make what [`patch`] has.
    patches: bool,
}

impl Env {
    /// CEL and its extensions, without Kubernetes.
    pub fn common() -> Self {
        Self {
            libraries: Libraries::COMMON,
            strict: false,
            variables: BTreeMap::new(),
            types: ObjectTypes::new(),
            patches: false,
        }
    }

    /// As expressions in Kubernetes v1.35 are compiled.
    pub fn kubernetes() -> Self {
        Self { libraries: Libraries::KUBERNETES, strict: true, ..Self::common() }
    }

    #[must_use]
    pub fn variable(mut self, name: impl Into<String>, ty: Type) -> Self {
        self.variables.insert(name.into(), ty);
        self
    }

    #[must_use]
    pub fn types(mut self, types: ObjectTypes) -> Self {
        self.types.extend(types);
        self
    }

    #[must_use]
    pub fn libraries(mut self, libraries: Libraries) -> Self {
        self.libraries = libraries;
        self
    }

    /// With the types `Object` and `JSONPatch`, and the function that names are written in paths with.
    #[must_use]
    pub fn patches(mut self) -> Self {
        self.libraries = self.libraries.with(Library::JsonPatch);
        self.patches = true;
        self
    }

    /// # Errors
    /// What is wrong with the text or its types.
    pub fn compile(&self, source: &str) -> Result<Checked, Issues> {
        let tree = syntax::parse(source, self.libraries)?;
        check::check(self, source, &tree)
    }

    pub(crate) fn variable_type(&self, name: &str) -> Option<&Type> {
        self.variables.get(name)
    }

    /// A type that an expression may name.
    pub(crate) fn type_named(&self, name: &str) -> Option<Type> {
        let object = || self.types.get_key_value(name).map(|(name, _)| Type::Object(name.clone()));
        let patch = || (self.patches && patch::is_type(name)).then(|| Type::object(name));
        Type::by_name(name).or_else(object).or_else(patch)
    }

    pub(crate) fn field(&self, object: &str, field: &str) -> Option<&Type> {
        match self.types.get(object) {
            Some(fields) => fields.get(field),
            None if self.patches => patch::field(object, field),
            None => None,
        }
    }
}
