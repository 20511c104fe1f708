//! Runs the given program over a packet that the kernel could not run it over: one behind a tag.
//!
//! Classic BPF as `Documentation/networking/filter.rst` of the kernel describes it. A load behind the end of what was
//! captured ends it with "drop", as in the kernel. Jumps only lead forward, so it ends.

use libc::sock_filter;

/// `SKF_NET_OFF`: where the IP packet starts, and `SKF_AD_OFF`, above which the ancillary numbers are.
const NETWORK: i64 = -0x10_0000;
const ANCILLARY: i64 = -0x1000;
const MEMORY_WORDS: usize = 16;

struct Machine<'a> {
    ip: &'a [u8],
    protocol: u16,
    a: u32,
    x: u32,
    memory: [u32; MEMORY_WORDS],
}

/// Whether the program lets the packet pass. `protocol` is the Ethernet type that announced it.
#[cold]
pub(super) fn passes(program: &[sock_filter], ip: &[u8], protocol: u16) -> bool {
    let mut machine = Machine { ip, protocol, a: 0, x: 0, memory: [0; MEMORY_WORDS] };
    machine.run(program).unwrap_or(0) != 0
}

impl Machine<'_> {
    /// None if it reads what is not there, divides by zero, or is no program that the kernel would have taken.
    fn run(&mut self, program: &[sock_filter]) -> Option<u32> {
        let mut at = 0_usize;
        loop {
            let step = *program.get(at)?;
            at = at.checked_add(1)?;
            match step.code & 7 {
                0 => self.a = self.load(step)?,
                1 => self.x = self.load_x(step)?,
                2 => *self.memory.get_mut(step.k as usize)? = self.a,
                3 => *self.memory.get_mut(step.k as usize)? = self.x,
                4 => self.a = self.calculate(step)?,
                5 => at = at.checked_add(self.jump(step)?)?,
                6 => return Some(if step.code & 0x18 == 0x10 { self.a } else { step.k }),
                _ if step.code & 0xf8 == 0x80 => self.a = self.x,
                _ => self.x = self.a,
            }
        }
    }

    fn load(&self, step: sock_filter) -> Option<u32> {
        match step.code & 0xe0 {
            0x00 => Some(step.k),
            0x20 => self.packet(step.code, i64::from(step.k.cast_signed())),
            0x40 => self.packet(step.code, i64::from(step.k.cast_signed()) + i64::from(self.x)),
            0x60 => self.memory.get(step.k as usize).copied(),
            0x80 => u32::try_from(self.ip.len()).ok(),
            _ => None,
        }
    }

    fn load_x(&self, step: sock_filter) -> Option<u32> {
        match step.code & 0xe0 {
            0x00 => Some(step.k),
            0x60 => self.memory.get(step.k as usize).copied(),
            0x80 => u32::try_from(self.ip.len()).ok(),
            // The length of an IPv4 header.
            0xa0 => self.packet(0x10, i64::from(step.k.cast_signed())).map(|byte| (byte & 0xf) * 4),
            _ => None,
        }
    }

    fn packet(&self, code: u16, offset: i64) -> Option<u32> {
        if (ANCILLARY..0).contains(&offset) {
            // Of the numbers beside the packet it may ask for the protocol.
            return (offset == ANCILLARY).then_some(u32::from(self.protocol));
        }
        let at = usize::try_from(offset.checked_sub(NETWORK)?).ok()?;
        let bytes = self.ip.get(at..)?;
        match code & 0x18 {
            0x00 => bytes.first_chunk().map(|word| u32::from_be_bytes(*word)),
            0x08 => bytes.first_chunk().map(|half| u32::from(u16::from_be_bytes(*half))),
            _ => bytes.first().map(|&byte| u32::from(byte)),
        }
    }

    fn operand(&self, step: sock_filter) -> u32 {
        if step.code & 8 == 0 { step.k } else { self.x }
    }

    fn calculate(&self, step: sock_filter) -> Option<u32> {
        let (a, by) = (self.a, self.operand(step));
        Some(match step.code & 0xf0 {
            0x00 => a.wrapping_add(by),
            0x10 => a.wrapping_sub(by),
            0x20 => a.wrapping_mul(by),
            0x30 => a.checked_div(by)?,
            0x40 => a | by,
            0x50 => a & by,
            0x60 => a.wrapping_shl(by),
            0x70 => a.wrapping_shr(by),
            0x80 => a.wrapping_neg(),
            0x90 => a.checked_rem(by)?,
            0xa0 => a ^ by,
            _ => return None,
        })
    }

    fn jump(&self, step: sock_filter) -> Option<usize> {
        let (a, than) = (self.a, self.operand(step));
        let is_so = match step.code & 0xf0 {
            0x00 => return usize::try_from(step.k).ok(),
            0x10 => a == than,
            0x20 => a > than,
            0x30 => a >= than,
            0x40 => a & than != 0,
            _ => return None,
        };
        Some(usize::from(if is_so { step.jt } else { step.jf }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(code: u16, jt: u8, jf: u8, k: u32) -> sock_filter {
        sock_filter { code, jt, jf, k }
    }

    const NET: u32 = 0xfff0_0000;
    const IP: [u8; 28] =
        [0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 7, 10, 0, 1, 1, 0x11, 0x22, 0x33, 0x44, 0, 8, 0, 0];

    #[test]
    fn an_address_and_a_port_are_found() {
        // From 10.0.0.7, to port 0x3344: the second load is relative to the header's length.
        let program = [
            step(0x20, 0, 0, NET + 12),
            step(0x15, 0, 4, 0x0a00_0007),
            step(0xb1, 0, 0, NET),
            step(0x48, 0, 0, NET + 2),
            step(0x15, 0, 1, 0x3344),
            step(0x06, 0, 0, 1),
            step(0x06, 0, 0, 0),
        ];
        assert!(passes(&program, &IP, 0x0800));
        let mut other = IP;
        other[15] = 8;
        assert!(!passes(&program, &other, 0x0800));
        other = IP;
        other[23] = 0;
        assert!(!passes(&program, &other, 0x0800));
        assert!(!passes(&program, IP.get(..22).unwrap(), 0x0800), "the port is cut off");
    }

    #[test]
    fn what_would_be_refused_by_the_kernel_lets_nothing_pass() {
        for program in [
            vec![],
            vec![step(0x00, 0, 0, 1)],
            vec![step(0x05, 0, 0, u32::MAX)],
            vec![step(0x34, 0, 0, 0), step(0x06, 0, 0, 1)],
            vec![step(0x02, 0, 0, 16), step(0x06, 0, 0, 1)],
        ] {
            assert!(!passes(&program, &IP, 0x0800), "{program:?}");
        }
    }

    #[test]
    fn the_value_in_the_accumulator_is_the_answer_where_it_is_asked_for() {
        for (value, passed) in [(0, false), (1, true)] {
            assert_eq!(passes(&[step(0x00, 0, 0, value), step(0x16, 0, 0, 0)], &IP, 0x0800), passed);
        }
        let protocol =
            [step(0x28, 0, 0, 0xffff_f000), step(0x15, 0, 1, 0x86dd), step(0x06, 0, 0, 1), step(0x06, 0, 0, 0)];
        assert!(passes(&protocol, &IP, 0x86dd));
        assert!(!passes(&protocol, &IP, 0x0800));
    }
}
