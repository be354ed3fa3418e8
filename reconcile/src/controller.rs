//! What one controller has to say for itself; the driver does the rest.

use std::any::TypeId;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::informer::{Caches, Change, Informers, Kind, Store};
use crate::{Key, Plan, Queue};

/// A control loop over the objects of kind `Root`.
///
/// `view` gathers what the decision needs from the caches, `decide` is pure: no clock, no IO, no randomness.
pub trait Controller: Send + Sync + 'static {
    /// As in upstream's log and event source, e.g. `deployment-controller`.
    const NAME: &'static str;
    /// As whom it comes to the server: the service account in kube-system that upstream's has, or a user's whole name.
    const ACCOUNT: &'static str = Self::NAME;
    /// What its work queue is called in metrics: upstream's name.
    const QUEUE: &'static str = Self::NAME;
    /// The field selector of the roots. `None`: all of the kind.
    const ROOTS: Option<&'static str> = None;
    type Root: Kind;
    type View;

    /// All kinds besides the root that `view` reads, and which roots a change of theirs concerns.
    fn watches() -> Vec<Watch>;

    fn view(&self, root: &Self::Root, caches: &Caches) -> Self::View;

    /// `now` has whole seconds, as times in the API have, so that a time just written compares equal when read back.
    fn decide(&self, root: &Self::Root, view: &Self::View, now: Timestamp) -> Plan;

    /// What to do for a key whose root is not there (any more). Its children are the garbage collector's.
    fn absent(&self, _key: &Key, _caches: &Caches) -> Plan {
        Plan::default()
    }

    /// How long a change of the root rests before it is decided on; it may be decided on earlier for another reason.
    fn rest(_old: &Self::Root, _new: &Self::Root, _now: Timestamp) -> Duration {
        Duration::ZERO
    }

    /// The roots worked on at the same time.
    fn workers(&self) -> usize {
        5
    }
}

/// A kind that a controller looks at. Made by [`owned`], [`mapped`] and [`read`].
pub struct Watch {
    /// The type of the objects.
    pub(crate) kind: TypeId,
    pub(crate) connect: Box<Connect>,
}

type Connect = dyn FnOnce(&Informers, Arc<Queue<Key>>) + Send;

/// Objects of kind `K` that a `Root` controls: a change concerns the owner named in the object.
pub fn owned<K: Kind, Root: Kind>() -> Watch {
    mapped::<K>(|object, _| owner_key::<Root>(object.meta()).into_iter().collect())
}

/// Objects of kind `K`: a change concerns the roots that `keys_of` names, for the old and for the new object.
pub fn mapped<K: Kind>(keys_of: impl Fn(&K, &Caches) -> Vec<Key> + Send + Sync + 'static) -> Watch {
    Watch {
        kind: TypeId::of::<K>(),
        connect: Box::new(move |informers, queue| {
            let caches = informers.caches().clone();
            enqueue_on_change(&informers.start::<K>(), queue, move |object| keys_of(object, &caches));
        }),
    }
}

/// As [`mapped`], of the objects that the field selector chooses; the view finds them by [`Caches::chosen`].
pub fn chosen<K: Kind>(
    fields: &'static str,
    keys_of: impl Fn(&K, &Caches) -> Vec<Key> + Send + Sync + 'static,
) -> Watch {
    Watch {
        kind: TypeId::of::<K>(),
        connect: Box::new(move |informers, queue| {
            let caches = informers.caches().clone();
            let store = informers.start_chosen::<K>(fields);
            enqueue_on_change(&store, queue, move |object| keys_of(object, &caches));
        }),
    }
}

/// Objects of kind `K` are read by the view, but a change of theirs concerns nobody.
pub fn read<K: Kind>() -> Watch {
    Watch { kind: TypeId::of::<K>(), connect: Box::new(|informers, _| drop(informers.start::<K>())) }
}

/// Objects of kind `K` get an index (see [`Store::add_index`]); a change concerns nobody.
pub fn indexed<K: Kind>(name: &'static str, values_of: fn(&K) -> Vec<String>) -> Watch {
    let connect: Box<Connect> = Box::new(move |informers, _| informers.start::<K>().add_index(name, values_of));
    Watch { kind: TypeId::of::<K>(), connect }
}

/// The key of the controlling owner, if that is a `Root`.
pub fn owner_key<Root: Kind>(meta: &kube::core::ObjectMeta) -> Option<Key> {
    let owner = meta.owner_references.iter().flatten().find(|owner| owner.controller == Some(true))?;
    let group = owner.api_version.split_once('/').map_or("", |(group, _)| group);
    (owner.kind == Root::kind(&()) && group == Root::group(&()))
        .then(|| Key::new(meta.namespace.as_deref(), &owner.name))
}

fn enqueue_on_change<K: Kind>(
    store: &Store<K>,
    queue: Arc<Queue<Key>>,
    keys_of: impl Fn(&K) -> Vec<Key> + Send + Sync + 'static,
) {
    store.on_change(move |change| {
        let (old, new) = match change {
            Change::Applied { old, new } => (old.as_ref(), new),
            Change::Deleted(old) => (None, old),
        };
        for object in old.into_iter().chain([new]) {
            for key in keys_of(object) {
                queue.add(key);
            }
        }
    });
}
