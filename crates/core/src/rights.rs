//! Which capability is missing, in words for who is to grant it: root may lack one as well.

use std::fs;

/// One of capabilities(7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capability {
    pub name: &'static str,
    number: u32,
}

pub const NET_ADMIN: Capability = Capability { name: "CAP_NET_ADMIN", number: 12 };
pub const NET_RAW: Capability = Capability { name: "CAP_NET_RAW", number: 13 };
pub const SYS_ADMIN: Capability = Capability { name: "CAP_SYS_ADMIN", number: 21 };
pub const PERFMON: Capability = Capability { name: "CAP_PERFMON", number: 38 };
pub const BPF: Capability = Capability { name: "CAP_BPF", number: 39 };
/// All that are asked for by name.
pub const ALL: [Capability; 5] = [NET_ADMIN, NET_RAW, SYS_ADMIN, PERFMON, BPF];

/// What the calling thread is and may do, as the kernel tells it.
#[must_use]
pub fn status() -> String {
    fs::read_to_string("/proc/thread-self/status").unwrap_or_default()
}

/// A line of such a text.
pub(crate) fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
}

/// Those of `needed` that a status does not have; none where that cannot be read, so that nobody is accused.
/// `CAP_SYS_ADMIN` does for what was taken out of it.
#[must_use]
pub fn missing(status: &str, needed: &[Capability]) -> Vec<&'static str> {
    let effective = field(status, "CapEff").and_then(|text| u64::from_str_radix(text.trim(), 16).ok());
    let Some(effective) = effective else { return Vec::new() };
    let has = |number: u32| effective >> number & 1 == 1;
    let is_missing = |one: &&Capability| !(has(one.number) || one.number > 32 && has(SYS_ADMIN.number));
    needed.iter().filter(is_missing).map(|one| one.name).collect()
}

fn is_root(status: &str) -> bool {
    field(status, "Uid").and_then(|users| users.split_whitespace().nth(1)).is_some_and(|effective| effective == "0")
}

/// What to do for who was refused, and needs all of these.
#[must_use]
pub fn hint(needed: &[Capability]) -> String {
    hint_for(&status(), needed)
}

fn hint_for(status: &str, needed: &[Capability]) -> String {
    let names = needed.iter().map(|one| one.name).collect::<Vec<_>>().join(", ");
    if !is_root(status) {
        return format!("run as root, or with {names}");
    }
    let missing = missing(status, needed);
    if missing.is_empty() {
        return format!("run it outside of the container: {names} of a user namespace do not count here");
    }
    let missing = missing.join(", ");
    format!("it runs as root, but without {missing}: see CapabilityBoundingSet= of a service, --cap-add of a container")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEEDED: [Capability; 3] = [BPF, PERFMON, NET_ADMIN];

    fn status_of(user: u32, mask: u64) -> String {
        format!("Name:\tx\nUid:\t7\t{user}\t{user}\t{user}\nCapEff:\t{mask:016x}\nSeccomp:\t0\n")
    }

    #[test]
    fn capabilities_that_are_missing_are_named() {
        let missing = |mask| missing(&status_of(0, mask), &NEEDED);
        assert!(missing(1 << 39 | 1 << 38 | 1 << 12).is_empty());
        assert_eq!(missing(0), ["CAP_BPF", "CAP_PERFMON", "CAP_NET_ADMIN"]);
        assert_eq!(missing(1 << 12 | 1 << 39), ["CAP_PERFMON"]);
        assert_eq!(missing(1 << SYS_ADMIN.number), ["CAP_NET_ADMIN"]);
        assert!(super::missing("", &NEEDED).is_empty(), "what cannot be read accuses nobody");
    }

    #[test]
    fn root_is_told_what_it_lacks_and_not_to_be_root() {
        let hint = |user, mask| hint_for(&status_of(user, mask), &NEEDED);
        assert_eq!(hint(1000, 0), "run as root, or with CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN");
        assert_eq!(
            hint(0, 1 << 12 | 1 << 38),
            "it runs as root, but without CAP_BPF: see CapabilityBoundingSet= of a service, --cap-add of a container"
        );
        assert!(hint(0, u64::MAX).starts_with("run it outside of the container: CAP_BPF, "));
    }
}
