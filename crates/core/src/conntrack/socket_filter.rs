//! A program for the socket of events: what nobody wants never enters its queue.
//!
//! Classic BPF with the two extensions that find netlink attributes (`SKF_AD_NLATTR`, `SKF_AD_NLATTR_NEST`). It lets pass
//! what it cannot find in a message; [`Filter::holds`] has the last word.

use libc::sock_filter;

use crate::conntrack::filter::{Ends, Filter, Masked};
use crate::conntrack::{
    CTA_IP_V4_DST, CTA_IP_V4_SRC, CTA_IP_V6_DST, CTA_IP_V6_SRC, CTA_MARK, CTA_PROTO_DST_PORT, CTA_PROTO_NUM,
    CTA_PROTO_SRC_PORT, CTA_STATUS, CTA_TUPLE_IP, CTA_TUPLE_ORIG, CTA_TUPLE_PROTO, CTA_TUPLE_REPLY, CTA_TUPLE_ZONE,
    CTA_ZONE, IPV4,
};

const LOAD_NUMBER: u16 = 0x00;
const LOAD_X_NUMBER: u16 = 0x01;
const LOAD_WORD: u16 = 0x20;
const LOAD_BYTE: u16 = 0x30;
const LOAD_WORD_AT_X: u16 = 0x40;
const LOAD_HALF_AT_X: u16 = 0x48;
const LOAD_BYTE_AT_X: u16 = 0x50;
const AND_NUMBER: u16 = 0x54;
const JUMP: u16 = 0x05;
const JUMP_IF_EQUAL: u16 = 0x15;
const RETURN: u16 = 0x06;
const X_FROM_A: u16 = 0x07;
/// `SKF_AD_OFF + SKF_AD_NLATTR`: finds attribute X from offset A on; A becomes its offset, or 0.
const FIND: u32 = 0xffff_f00c;
/// `SKF_AD_OFF + SKF_AD_NLATTR_NEST`: the same within the attribute at A.
const FIND_WITHIN: u32 = 0xffff_f010;

const DROP: u32 = 0;
const PASS: u32 = u32::MAX;

/// Behind the netlink header: the family, and then the attributes.
const FAMILY_OFFSET: u32 = 16;
const ATTRIBUTES_OFFSET: u32 = 20;
const ATTRIBUTE_HEADER_BYTES: u32 = 4;

/// Of longer lists the program takes no notice: a jump reaches 255 instructions.
const VALUES_MAX: usize = 100;

/// What events are about; an empty list means all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    pub families: Vec<u8>,
    pub zones: Vec<u16>,
    pub filter: Filter,
}

/// The program; empty if all is wanted.
#[must_use]
pub fn program(wanted: &Wanted) -> Vec<sock_filter> {
    let mut program = Program::default();
    let families: Vec<u32> = wanted.families.iter().copied().map(u32::from).collect();
    program.one_of(&[instruction(LOAD_BYTE, FAMILY_OFFSET)], &families);
    program.filter(&wanted.filter);
    let zones: Vec<u32> = wanted.zones.iter().copied().map(u32::from).collect();
    program.zone(&zones);
    if !program.0.is_empty() {
        program.push(RETURN, PASS);
    }
    program.0
}

fn instruction(code: u16, k: u32) -> sock_filter {
    sock_filter { code, jt: 0, jf: 0, k }
}

#[derive(Clone, Copy)]
enum Width {
    Byte,
    Half,
    Word,
}

impl Width {
    fn load(self) -> u16 {
        match self {
            Self::Byte => LOAD_BYTE_AT_X,
            Self::Half => LOAD_HALF_AT_X,
            Self::Word => LOAD_WORD_AT_X,
        }
    }
}

#[derive(Default)]
struct Program(Vec<sock_filter>);

impl Program {
    fn push(&mut self, code: u16, k: u32) {
        self.0.push(instruction(code, k));
    }

    /// Drops the message unless A, once loaded, is one of these.
    fn one_of(&mut self, load: &[sock_filter], values: &[u32]) {
        if values.is_empty() || values.len() > VALUES_MAX {
            return;
        }
        self.0.extend(load);
        self.drop_unless(values);
    }

    fn drop_unless(&mut self, values: &[u32]) {
        // From each comparison over those behind it, and over the return.
        let behind = (1..=values.len()).rev().map(|count| u8::try_from(count).unwrap_or(u8::MAX));
        for (&value, jt) in values.iter().zip(behind) {
            self.0.push(sock_filter { code: JUMP_IF_EQUAL, jt, jf: 0, k: value });
        }
        self.push(RETURN, DROP);
    }

    /// A becomes the offset of the attribute at the end of the path, or 0.
    fn find(&mut self, path: &[u16]) {
        let steps = path.len();
        self.push(LOAD_NUMBER, ATTRIBUTES_OFFSET);
        for (step, &kind) in path.iter().enumerate() {
            if step > 0 {
                // Not there: over what is left, with A at 0.
                let left = u8::try_from((steps - step) * 3 - 1).unwrap_or(u8::MAX);
                self.0.push(sock_filter { code: JUMP_IF_EQUAL, jt: left, jf: 0, k: 0 });
            }
            self.push(LOAD_X_NUMBER, kind.into());
            self.push(LOAD_WORD, if step == 0 { FIND } else { FIND_WITHIN });
        }
    }

    /// Drops the message unless a part of an attribute is one of these. Lets pass what has no such attribute.
    fn attribute(&mut self, path: &[u16], (width, offset): (Width, u32), mask: Option<u32>, values: &[u32]) {
        self.find(path);
        let checks = 2 + usize::from(mask.is_some()) + values.len() + 1;
        self.0.push(sock_filter { code: JUMP_IF_EQUAL, jt: u8::try_from(checks).unwrap_or(u8::MAX), jf: 0, k: 0 });
        self.push(X_FROM_A, 0);
        self.push(width.load(), ATTRIBUTE_HEADER_BYTES + offset);
        if let Some(mask) = mask {
            self.push(AND_NUMBER, mask);
        }
        self.drop_unless(values);
    }

    fn filter(&mut self, filter: &Filter) {
        if let Some(family) = filter.family() {
            self.one_of(&[instruction(LOAD_BYTE, FAMILY_OFFSET)], &[family.into()]);
        }
        if let Some(protocol) = filter.protocol {
            let path = [CTA_TUPLE_ORIG, CTA_TUPLE_PROTO, CTA_PROTO_NUM];
            self.attribute(&path, (Width::Byte, 0), None, &[protocol.into()]);
        }
        if let Some(Masked { value, mask }) = filter.status {
            self.attribute(&[CTA_STATUS], (Width::Word, 0), Some(mask), &[value & mask]);
        }
        self.ends(CTA_TUPLE_ORIG, &filter.original);
        self.ends(CTA_TUPLE_REPLY, &filter.reply);
        if let Some(mark) = filter.mark {
            self.mark(mark);
        }
        self.zone(filter.zone.map(u32::from).as_slice());
    }

    fn ends(&mut self, direction: u16, ends: &Ends) {
        let addresses = [(ends.source, CTA_IP_V4_SRC, CTA_IP_V6_SRC), (ends.destination, CTA_IP_V4_DST, CTA_IP_V6_DST)];
        for (prefix, ipv4, ipv6) in addresses {
            let Some(prefix) = prefix else { continue };
            let path = [direction, CTA_TUPLE_IP, if prefix.family == IPV4 { ipv4 } else { ipv6 }];
            for ((word, mask), offset) in prefix.words().into_iter().zip((0..).step_by(4)) {
                if mask != 0 {
                    self.attribute(&path, (Width::Word, offset), Some(mask), &[word]);
                }
            }
        }
        for (port, kind) in [(ends.source_port, CTA_PROTO_SRC_PORT), (ends.destination_port, CTA_PROTO_DST_PORT)] {
            if let Some(port) = port {
                self.attribute(&[direction, CTA_TUPLE_PROTO, kind], (Width::Half, 0), None, &[port.into()]);
            }
        }
    }

    /// A mark of 0 is left out of events.
    fn mark(&mut self, mark: Masked) {
        if mark.holds(0) {
            self.attribute(&[CTA_MARK], (Width::Word, 0), Some(mark.mask), &[mark.value & mark.mask]);
            return;
        }
        self.find(&[CTA_MARK]);
        self.drop_if_nothing();
        self.push(X_FROM_A, 0);
        self.push(LOAD_WORD_AT_X, ATTRIBUTE_HEADER_BYTES);
        self.push(AND_NUMBER, mark.mask);
        self.drop_unless(&[mark.value & mark.mask]);
    }

    fn drop_if_nothing(&mut self) {
        self.0.push(sock_filter { code: JUMP_IF_EQUAL, jt: 0, jf: 1, k: 0 });
        self.push(RETURN, DROP);
    }

    /// The zone stands beside the tuples, or in one of them when it is of one direction; zone 0 stands nowhere.
    fn zone(&mut self, zones: &[u32]) {
        if zones.is_empty() || zones.len() > VALUES_MAX {
            return;
        }
        let places: [&[u16]; 3] = [&[CTA_ZONE], &[CTA_TUPLE_ORIG, CTA_TUPLE_ZONE], &[CTA_TUPLE_REPLY, CTA_TUPLE_ZONE]];
        let sections: Vec<Vec<sock_filter>> = places
            .iter()
            .map(|path| {
                let mut section = Self::default();
                section.find(path);
                section.0
            })
            .collect();
        // Each section ends with its jump to where X is taken from A. What is behind it: the sections that are left,
        // each with its jump, and the two instructions for a zone that stands nowhere.
        let mut left: usize = sections.iter().map(|section| section.len() + 1).sum::<usize>() + 2;
        for section in sections {
            left -= section.len() + 1;
            self.0.extend(section);
            self.0.push(sock_filter { code: JUMP_IF_EQUAL, jt: 0, jf: u8::try_from(left).unwrap_or(u8::MAX), k: 0 });
        }
        self.push(LOAD_NUMBER, 0);
        self.push(JUMP, 2);
        self.push(X_FROM_A, 0);
        self.push(LOAD_HALF_AT_X, ATTRIBUTE_HEADER_BYTES);
        self.drop_unless(zones);
    }
}
