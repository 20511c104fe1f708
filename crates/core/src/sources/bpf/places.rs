//! The places where a program hangs: what their pins are called, which priorities they have.

use super::Hook;

pub(super) const LINK: &str = "link-";
/// `LOOPBACK_IFINDEX`: the same in every network namespace.
pub(super) const LOOPBACK: u32 = 1;
/// Two programs at one hook need two priorities. So many are tried, downwards: who comes later comes first to a packet.
const PRIORITIES: i32 = 90;

/// A place, and what is needed to attach there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Netfilter { hook: Hook, family: u32 },
    Tcx { index: u32, is_ingress: bool },
}

impl Hook {
    fn name(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Forward => "forward",
            Self::Output => "output",
        }
    }

    #[allow(clippy::cast_sign_loss, reason = "small numbers of the kernel's headers")]
    pub(super) fn number(self) -> u32 {
        (match self {
            Self::Input => libc::NF_INET_LOCAL_IN,
            Self::Forward => libc::NF_INET_FORWARD,
            Self::Output => libc::NF_INET_LOCAL_OUT,
        }) as u32
    }
}

#[allow(clippy::cast_sign_loss, reason = "small numbers of the kernel's headers")]
pub(super) const FAMILIES: [(u32, &str); 2] =
    [(libc::NFPROTO_IPV4 as u32, "ipv4"), (libc::NFPROTO_IPV6 as u32, "ipv6")];

impl Place {
    pub(super) fn name(self) -> String {
        match self {
            Self::Netfilter { hook, family } => {
                let family = FAMILIES.iter().find(|(number, _)| *number == family).map_or("", |(_, name)| name);
                format!("{LINK}{}-{family}", hook.name())
            }
            Self::Tcx { index, is_ingress } => {
                format!("{LINK}{index}-{}", if is_ingress { "ingress" } else { "egress" })
            }
        }
    }

    pub(super) fn of(name: &str) -> Option<Self> {
        let (first, second) = name.strip_prefix(LINK)?.split_once('-')?;
        if let Ok(index) = first.parse() {
            return Some(Self::Tcx { index, is_ingress: second == "ingress" });
        }
        let hook = [Hook::Input, Hook::Forward, Hook::Output].into_iter().find(|hook| hook.name() == first)?;
        let (family, _) = FAMILIES.into_iter().find(|(_, name)| *name == second)?;
        Some(Self::Netfilter { hook, family })
    }

    pub(super) fn program(self) -> &'static str {
        match self {
            Self::Netfilter { .. } => "program-netfilter",
            Self::Tcx { is_ingress: true, .. } => "program-ingress",
            Self::Tcx { is_ingress: false, .. } => "program-egress",
        }
    }

    pub(super) fn interface_index(self) -> Option<u32> {
        match self {
            Self::Tcx { index, .. } => Some(index),
            Self::Netfilter { .. } => None,
        }
    }
}

/// The priorities to try, the best first: in front of all programs that are known, so that a packet that meets two of them
/// while one takes over from the other meets the new one first; else any that is free.
pub(super) fn priorities(asked: i32, taken: &[i32]) -> impl Iterator<Item = i32> {
    let last =
        if asked > 0 { asked.saturating_sub(PRIORITIES - 1).max(1) } else { asked.saturating_sub(PRIORITIES - 1) };
    let in_range = taken.iter().copied().filter(move |priority| (last..=asked).contains(priority));
    let first = in_range.min().map_or(asked, |lowest| lowest - 1);
    (last..=first).rev().chain((last..=asked).rev())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_known_by_the_name_of_its_pin() {
        let netfilter = Place::Netfilter { hook: Hook::Forward, family: 10 };
        assert_eq!(netfilter.name(), "link-forward-ipv6");
        let places = [netfilter, Place::Tcx { index: 7, is_ingress: true }, Place::Tcx { index: 7, is_ingress: false }];
        for place in places {
            assert_eq!(Place::of(&place.name()), Some(place));
        }
        assert_eq!(Place::of("rows-7"), None);
        assert_eq!(Place::of("link-nowhere-ipv4"), None);
    }

    #[test]
    fn a_program_comes_in_front_of_those_that_are_there() {
        let first = |asked, taken: &[i32]| priorities(asked, taken).take(2).collect::<Vec<_>>();
        assert_eq!(first(90, &[]), [90, 89]);
        assert_eq!(first(90, &[90]), [89, 88]);
        assert_eq!(first(90, &[90, 40, 200, -5]), [39, 38]);
        assert_eq!(first(90, &[1]), [90, 89], "in front of the first there is no room behind the filter rules");
        assert_eq!(first(-300, &[]), [-300, -301]);
        assert_eq!(priorities(90, &[]).min(), Some(1));
    }
}
