//! The program of classic BPF by which the kernel drops what does not count, and cuts what does.
//!
//! It comes in front of the one that was given, which is about the IP packet only and reads it from `SKF_NET_OFF` on.
//! Frames whose IP packet is behind a tag or `PPPoE` go past the given one: there the kernel does not know where IP starts.
//! [`super::program`] has it run over them afterwards.

use libc::sock_filter;

use super::frame::{FOR_OTHERS, LOOPBACK, OUTGOING};
use super::tagged::{IPV4, IPV6, TAGGED};

const LOAD: u16 = 0x20;
const LOAD_NUMBER: u16 = 0x00;
const JUMP: u16 = 0x05;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_AT_LEAST: u16 = 0x35;
const RETURN: u16 = 0x06;
const RETURN_VALUE: u16 = 0x16;

/// `SKF_AD_OFF` and what lies behind it.
const PROTOCOL: u32 = 0xffff_f000;
const KIND: u32 = PROTOCOL + 4;
const INTERFACE: u32 = PROTOCOL + 8;
const HARDWARE: u32 = PROTOCOL + 28;

/// Ranges of indexes that are dropped in the kernel; others are dropped by whoever reads the ring.
const RANGES_MAX: usize = 256;
/// The most that the kernel takes (`BPF_MAXINSNS`).
pub(crate) const INSTRUCTIONS_MAX: usize = 4096;

/// What is to pass.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wishes<'a> {
    /// In order.
    pub(crate) unwanted: &'a [u32],
    pub(crate) overhears: bool,
    pub(crate) ipv4: bool,
    pub(crate) ipv6: bool,
    pub(crate) snap_bytes: u32,
    pub(crate) given: &'a [sock_filter],
}

const fn step(code: u16, k: u32) -> sock_filter {
    sock_filter { code, jt: 0, jf: 0, k }
}

/// Goes over as many steps as `jt` says if it is so, else as `jf`.
const fn when(code: u16, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code, jt, jf, k }
}

/// Drops everything, until a socket is set up.
pub(crate) const NOTHING: [sock_filter; 1] = [step(RETURN, 0)];

/// The whole program.
pub(crate) fn program(wishes: &Wishes<'_>) -> Vec<sock_filter> {
    let keep = step(RETURN, wishes.snap_bytes);
    let drop = step(RETURN, 0);
    let mut all = vec![step(LOAD, KIND)];
    if !wishes.overhears {
        all.extend([when(JUMP_EQUAL, u32::from(FOR_OTHERS), 0, 1), drop]);
    }
    // What loopback has sent comes again as received.
    all.extend([when(JUMP_EQUAL, u32::from(OUTGOING), 0, 3), step(LOAD, HARDWARE)]);
    all.extend([when(JUMP_EQUAL, u32::from(LOOPBACK), 0, 1), drop]);
    all.extend(without_interfaces(wishes.unwanted));
    all.push(step(LOAD, PROTOCOL));
    for tagged in TAGGED {
        all.extend([when(JUMP_EQUAL, u32::from(tagged), 0, 1), keep]);
    }
    let families = [(wishes.ipv4, IPV4), (wishes.ipv6, IPV6)];
    let families: Vec<u16> = families.into_iter().filter_map(|(wanted, family)| wanted.then_some(family)).collect();
    for (place, family) in families.iter().enumerate() {
        // Behind the other family's question and the drop that ends them.
        let over = u8::try_from(families.len() - place).unwrap_or(1);
        all.push(when(JUMP_EQUAL, u32::from(*family), over, 0));
    }
    all.push(drop);
    if wishes.given.is_empty() {
        all.push(keep);
    } else {
        all.push(step(LOAD_NUMBER, 0));
        all.extend(given(wishes.given, keep));
    }
    all
}

/// The given program, that keeps what it lets pass as we want it cut.
fn given(program: &[sock_filter], keep: sock_filter) -> impl Iterator<Item = sock_filter> + '_ {
    let steps = program.iter().enumerate().map(move |(place, &one)| match one.code {
        RETURN if one.k != 0 => keep,
        // To what stands behind the last one.
        RETURN_VALUE => step(JUMP, u32::try_from(program.len() - place - 1).unwrap_or(0)),
        _ => one,
    });
    steps.chain([when(JUMP_EQUAL, 0, 0, 1), step(RETURN, 0), keep])
}

/// Drops the indexes; goes on behind for others.
fn without_interfaces(unwanted: &[u32]) -> Vec<sock_filter> {
    let mut ranges = ranges(unwanted);
    ranges.truncate(RANGES_MAX);
    if ranges.is_empty() {
        return Vec::new();
    }
    let mut tree = vec![step(LOAD, INTERFACE)];
    search(&ranges, &mut tree);
    // Who leaves the tree goes to its end, which is known only now.
    let length = tree.len();
    for (place, one) in tree.iter_mut().enumerate() {
        if one.code == LEAVE.code && one.k == LEAVE.k {
            *one = step(JUMP, u32::try_from(length - place - 1).unwrap_or(0));
        }
    }
    tree
}

const LEAVE: sock_filter = step(JUMP, u32::MAX);

/// Binary search, so that five hundred interfaces cost nine questions.
fn search(ranges: &[(u32, u32)], tree: &mut Vec<sock_filter>) {
    match ranges {
        [] => tree.push(LEAVE),
        [(first, behind)] => {
            tree.extend([when(JUMP_AT_LEAST, *first, 1, 0), LEAVE]);
            tree.extend([when(JUMP_AT_LEAST, *behind, 0, 1), LEAVE, step(RETURN, 0)]);
        }
        _ => {
            let (low, high) = ranges.split_at(ranges.len() / 2);
            let Some(&(first, _)) = high.first() else { return };
            let mut low_tree = Vec::new();
            search(low, &mut low_tree);
            tree.push(when(JUMP_AT_LEAST, first, 0, 1));
            tree.push(step(JUMP, u32::try_from(low_tree.len()).unwrap_or(0)));
            tree.extend(low_tree);
            search(high, tree);
        }
    }
}

/// From first to behind the last.
fn ranges(indexes: &[u32]) -> Vec<(u32, u32)> {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for &index in indexes {
        match ranges.last_mut() {
            Some((_, behind)) if *behind == index => *behind = index.saturating_add(1),
            _ => ranges.push((index, index.saturating_add(1))),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Runs what compares one number; None when it goes on behind the end.
    fn run(program: &[sock_filter], loaded: impl Fn(u32) -> u32) -> Option<u32> {
        let (mut at, mut a) = (0, 0);
        while let Some(step) = program.get(at) {
            at += 1;
            match step.code {
                LOAD => a = loaded(step.k),
                LOAD_NUMBER => a = step.k,
                JUMP => at += step.k as usize,
                JUMP_EQUAL => at += usize::from(if a == step.k { step.jt } else { step.jf }),
                JUMP_AT_LEAST => at += usize::from(if a >= step.k { step.jt } else { step.jf }),
                RETURN => return Some(step.k),
                other => panic!("an instruction that it does not make: {other:#x}"),
            }
        }
        None
    }

    fn wishes(unwanted: &[u32]) -> Wishes<'_> {
        Wishes { unwanted, overhears: false, ipv4: true, ipv6: true, snap_bytes: 128, given: &[] }
    }

    /// Kind, index, hardware, protocol of a frame.
    fn kept(wishes: &Wishes<'_>, (kind, index, hardware, protocol): (u8, u32, u16, u16)) -> u32 {
        let loaded = |place| match place {
            KIND => u32::from(kind),
            INTERFACE => index,
            HARDWARE => u32::from(hardware),
            _ => u32::from(protocol),
        };
        run(&program(wishes), loaded).unwrap()
    }

    proptest! {
        #[test]
        fn exactly_the_unwanted_interfaces_are_dropped(
            unwanted in proptest::collection::btree_set(0_u32..600, 0..300),
            index in 0_u32..600,
        ) {
            let list: Vec<u32> = unwanted.iter().copied().collect();
            let program = program(&wishes(&list));
            prop_assert!(program.len() < INSTRUCTIONS_MAX / 2);
            prop_assert!(ranges(&list).len() <= RANGES_MAX, "all of them are in the program");
            prop_assert_eq!(kept(&wishes(&list), (0, index, 1, IPV4)), if unwanted.contains(&index) { 0 } else { 128 });
        }
    }

    #[test]
    fn more_than_there_is_room_for_is_left_to_the_reader() {
        let every_other: Vec<u32> = (0..2000).map(|number| number * 2).collect();
        let wishes = wishes(&every_other);
        assert!(program(&wishes).len() < INSTRUCTIONS_MAX / 2);
        assert_eq!(kept(&wishes, (0, 510, 1, IPV4)), 0);
        assert_eq!(kept(&wishes, (0, 512, 1, IPV4)), 128, "behind the last range");
    }

    #[test]
    fn what_is_for_others_passes_only_where_it_is_overheard() {
        let frame = (FOR_OTHERS, 2, 1, IPV4);
        assert_eq!(kept(&wishes(&[]), frame), 0);
        assert_eq!(kept(&Wishes { overhears: true, ..wishes(&[]) }, frame), 128);
    }

    #[test]
    fn what_loopback_sends_is_dropped_and_what_others_send_is_not() {
        assert_eq!(kept(&wishes(&[]), (OUTGOING, 1, LOOPBACK, IPV4)), 0);
        assert_eq!(kept(&wishes(&[]), (0, 1, LOOPBACK, IPV4)), 128);
        assert_eq!(kept(&wishes(&[]), (OUTGOING, 2, 1, IPV4)), 128);
    }

    #[test]
    fn families_that_are_not_wanted_and_what_is_no_ip_are_dropped_and_tags_are_looked_into() {
        for (ipv4, ipv6) in [(true, true), (true, false), (false, true)] {
            let wishes = Wishes { ipv4, ipv6, ..wishes(&[]) };
            let passes = |protocol| kept(&wishes, (0, 2, 1, protocol)) != 0;
            assert_eq!((passes(IPV4), passes(IPV6), passes(0x0806)), (ipv4, ipv6, false));
            assert!(TAGGED.into_iter().all(passes));
        }
    }

    #[test]
    fn the_given_program_decides_about_ip_and_its_answer_is_no_length() {
        let given = [when(JUMP_EQUAL, 7, 0, 1), step(RETURN, 0), step(RETURN, u32::MAX)];
        let wishes = Wishes { given: &given, ..wishes(&[]) };
        assert_eq!(kept(&wishes, (0, 2, 1, IPV4)), 128, "it starts with 0");
        let dropped = Wishes { given: &[step(LOAD_NUMBER, 7), given[0], given[1], given[2]], ..wishes };
        assert_eq!(kept(&dropped, (0, 2, 1, IPV4)), 0);
        for (value, length) in [(0, 0), (9, 128)] {
            let given = [step(LOAD_NUMBER, value), step(RETURN_VALUE, 0), step(RETURN, 0)];
            assert_eq!(kept(&Wishes { given: &given, ..wishes }, (0, 2, 1, IPV4)), length);
        }
    }
}
