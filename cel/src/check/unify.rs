//! Which types go where, with letters that stand for types (`checker/types.go`).

use std::collections::HashMap;
use std::sync::Arc;

use crate::types::Type;

/// What letters stand for.
#[derive(Clone, Debug, Default)]
pub(super) struct Mapping(HashMap<Arc<str>, Type>);

impl Mapping {
    fn find(&self, ty: &Type) -> Option<&Type> {
        match ty {
            Type::Param(name) => self.0.get(name),
            _ => None,
        }
    }

    fn add(&mut self, param: &Type, ty: Type) {
        if let Type::Param(name) = param {
            self.0.insert(name.clone(), ty);
        }
    }

    /// The type with what its letters stand for. Those that stand for nothing become `dyn` when `to_dyn`.
    pub fn substitute(&self, ty: &Type, to_dyn: bool) -> Type {
        if let Some(found) = self.find(ty) {
            return self.substitute(found, to_dyn);
        }
        match ty {
            Type::Param(_) if to_dyn => Type::Dyn,
            ty => ty.map_params(&mut |inner| self.substitute(inner, to_dyn)),
        }
    }

    /// Whether values of the first types can be taken for the second; if so, letters stand for more than before.
    pub fn assign_all(&mut self, from: &[Type], to: &[Type]) -> bool {
        let mut tried = self.clone();
        let fits = tried.all(from, to);
        if fits {
            *self = tried;
        }
        fits
    }

    pub fn assign(&mut self, from: &Type, to: &Type) -> bool {
        self.assign_all(std::slice::from_ref(from), std::slice::from_ref(to))
    }

    fn all(&mut self, from: &[Type], to: &[Type]) -> bool {
        from.len() == to.len() && from.iter().zip(to).all(|(from, to)| self.one(from, to))
    }

    fn one(&mut self, from: &Type, to: &Type) -> bool {
        if matches!(to, Type::Param(_)) {
            match self.stands_for(from, to) {
                (true, _) => return true,
                (false, true) => return false,
                (false, false) => {}
            }
        }
        if matches!(from, Type::Param(_)) {
            return self.stands_for(to, from).0;
        }
        if from.is_dyn_or_error() || to.is_dyn_or_error() {
            return true;
        }
        match (from, to) {
            (Type::Null, other) | (other, Type::Null) => is_nullable(other),
            (Type::Type(_), Type::Type(_)) => true,
            (Type::List(a), Type::List(b)) => self.one(a, b),
            (Type::Map(ak, av), Type::Map(bk, bv)) => self.one(ak, bk) && self.one(av, bv),
            (Type::Opaque(a, own), Type::Opaque(b, others)) => a == b && self.all(own, others),
            _ => from == to,
        }
    }

    /// Whether a letter may stand for a type, and whether it stood for something before.
    fn stands_for(&mut self, ty: &Type, param: &Type) -> (bool, bool) {
        if ty == param {
            return (true, true);
        }
        if let Some(known) = self.find(param).cloned() {
            if known == *ty {
                return (true, true);
            }
            if self.one(ty, &known) {
                let general = most_general(ty, &known);
                if self.is_free_of(param, &general) {
                    self.add(param, general);
                }
                return (true, true);
            }
            return (false, true);
        }
        if self.is_free_of(param, ty) {
            self.add(param, ty.clone());
            return (true, false);
        }
        (false, false)
    }

    /// A letter does not occur in a type.
    fn is_free_of(&self, param: &Type, ty: &Type) -> bool {
        if param == ty {
            return false;
        }
        match ty {
            Type::Param(_) => self.find(ty).is_none_or(|found| self.is_free_of(param, found)),
            ty => ty.params().into_iter().all(|inner| self.is_free_of(param, inner)),
        }
    }
}

fn is_nullable(ty: &Type) -> bool {
    matches!(ty, Type::Opaque(..) | Type::Object(_) | Type::Duration | Type::Timestamp | Type::Null)
}

/// Of two types that go together, that which says less.
pub(super) fn most_general(a: &Type, b: &Type) -> Type {
    if says_less(a, b) { a.clone() } else { b.clone() }
}

fn says_less(a: &Type, b: &Type) -> bool {
    match (a, b) {
        (Type::Dyn | Type::Any | Type::Param(_), _) => true,
        (_, Type::Dyn | Type::Any | Type::Param(_)) => false,
        (Type::Type(_), Type::Type(_)) => true,
        (Type::List(_), Type::List(_)) | (Type::Map(..), Type::Map(..)) | (Type::Opaque(..), Type::Opaque(..)) => {
            a.name() == b.name()
                && a.params().len() == b.params().len()
                && a.params().into_iter().zip(b.params()).all(|(a, b)| says_less(a, b))
        }
        _ => a == b,
    }
}
