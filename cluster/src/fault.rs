//! What can befall a cluster.

/// One thing that goes wrong. What is not said is about the primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// PostgreSQL is killed. Patroni lives, and gives the leadership up.
    KillPostgres,
    /// Patroni is killed. PostgreSQL lives on, writable, and nothing fences it until its lease has ended.
    KillPatroni,
    /// Both are killed.
    KillBoth,
    /// Every process of PostgreSQL is stopped: it takes connections, and says nothing.
    StopPostgres,
    /// Every process of the member is stopped; it does not lead etcd then.
    StopMember,
    /// The member is cut off from all others, and from clients.
    CutOff,
    /// PostgreSQL of the synchronous standby is killed.
    KillStandby,
    /// The synchronous standby is cut off.
    CutOffStandby,
    /// The leader of etcd is killed.
    KillEtcdLeader,
    /// The leadership is handed over in order.
    Switchover,
}

impl Fault {
    /// Every kind.
    pub const ALL: [Self; 10] = [
        Self::KillPostgres,
        Self::KillPatroni,
        Self::KillBoth,
        Self::StopPostgres,
        Self::StopMember,
        Self::CutOff,
        Self::KillStandby,
        Self::CutOffStandby,
        Self::KillEtcdLeader,
        Self::Switchover,
    ];

    /// Whether another member leads afterwards.
    pub fn fails_over(self) -> bool {
        match self {
            Self::KillPostgres
            | Self::KillPatroni
            | Self::KillBoth
            | Self::StopPostgres
            | Self::StopMember
            | Self::CutOff
            | Self::Switchover => true,
            Self::KillStandby | Self::CutOffStandby | Self::KillEtcdLeader => false,
        }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::KillPostgres => "PostgreSQL of the primary killed",
            Self::KillPatroni => "Patroni of the primary killed",
            Self::KillBoth => "PostgreSQL and Patroni of the primary killed",
            Self::StopPostgres => "PostgreSQL of the primary stopped",
            Self::StopMember => "all of the primary stopped",
            Self::CutOff => "primary cut off",
            Self::KillStandby => "PostgreSQL of the standby killed",
            Self::CutOffStandby => "standby cut off",
            Self::KillEtcdLeader => "leader of etcd killed",
            Self::Switchover => "switchover",
        })
    }
}
