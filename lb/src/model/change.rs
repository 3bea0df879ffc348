//! The closed set of changes to what is wanted, and why one is refused.

use super::{Global, GroupName, Listener, ListenerName, Origin, Target, TargetGroup, TargetId, Weight};

/// One wanted change, applied whole or refused whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Creates or replaces a listener.
    PutListener(Origin, Listener),
    /// Removes a listener.
    DeleteListener(Origin, ListenerName),
    /// Creates or replaces a target group; its targets are not touched.
    PutTargetGroup(Origin, TargetGroup),
    /// Removes a target group that no listener forwards to and that holds no targets of another origin.
    DeleteTargetGroup(Origin, GroupName),
    /// Registers a target or updates it.
    PutTarget(Origin, GroupName, Target),
    /// Deregisters a target: it takes no new work, finishes what is in flight, leaves.
    DeleteTarget(Origin, GroupName, TargetId),
    /// Takes no new work but what is sticky to it (`true`), or takes part again (`false`). Any origin's target.
    Drain(GroupName, TargetId, bool),
    /// Changes the share of a target of any origin. On another origin's target it stands until that origin
    /// declares the target differently.
    Reweigh(GroupName, TargetId, Weight),
    /// Everything an origin wants, in one set: what it no longer declares goes, nothing of another origin does.
    Declare(Origin, Declared),
}

/// The full set of what one origin wants.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Declared {
    /// Process-wide settings; only the file has a say in them.
    pub global: Option<Global>,
    /// Its listeners.
    pub listeners: Vec<Listener>,
    /// Its target groups.
    pub target_groups: Vec<TargetGroup>,
    /// Its targets, each with its group.
    pub targets: Vec<(GroupName, Target)>,
}

/// What a refusal or an entity tag is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ObjectRef {
    /// A listener.
    Listener(ListenerName),
    /// A target group.
    TargetGroup(GroupName),
    /// A target of a group.
    Target(GroupName, TargetId),
}

impl std::fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Listener(name) => write!(f, "listener {name}"),
            Self::TargetGroup(name) => write!(f, "target group {name}"),
            Self::Target(group, id) => write!(f, "target {id} of target group {group}"),
        }
    }
}

/// Why a change was refused. Nothing was changed, and trying again changes nothing before the cause is gone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// The object is not there.
    #[error("there is no {0}")]
    NotFound(ObjectRef),
    /// The object belongs to another origin.
    #[error("{object} belongs to {owner}: change it there")]
    OwnedBy {
        /// The object.
        object: ObjectRef,
        /// Who may change it.
        owner: Origin,
    },
    /// Two entries of one set have the same name.
    #[error("{0} is declared twice")]
    Twice(ObjectRef),
    /// A listener forwards to a group that is not there.
    #[error("listener {listener} forwards to target group {target_group}, which does not exist")]
    DanglingForward {
        /// The listener.
        listener: ListenerName,
        /// The missing group.
        target_group: GroupName,
    },
    /// Two listeners want the same address.
    #[error("listeners {0} and {1} bind the same address")]
    SameBind(ListenerName, ListenerName),
    /// A group cannot go while something needs it.
    #[error("target group {target_group} is still in use by {by}")]
    InUse {
        /// The group.
        target_group: GroupName,
        /// What holds it, named.
        by: String,
    },
}
