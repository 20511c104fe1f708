//! Frames whose IP packet is behind something else: tags that are left in the frame, `PPPoE`.

pub(crate) const IPV4: u16 = 0x0800;
pub(crate) const IPV6: u16 = 0x86dd;
const PPPOE_SESSION: u16 = 0x8864;
/// What the kernel calls a frame in which IP may be further behind: 802.1Q, 802.1ad, the two numbers used for `QinQ` before
/// 802.1ad, `PPPoE`.
pub(crate) const TAGGED: [u16; 5] = [0x8100, 0x88a8, 0x9100, 0x9200, PPPOE_SESSION];

/// More tags than this are nobody's network.
const TAGS_MAX: usize = 8;

/// Whether it is an Ethernet type in which IP is, or may be.
pub(super) fn is_known(protocol: u16) -> bool {
    protocol == IPV4 || protocol == IPV6 || TAGGED.contains(&protocol)
}

/// The Ethernet type of what is inside, and its bytes; None if it is not IP, or cut off.
#[cold]
pub(super) fn open(mut protocol: u16, mut rest: &[u8]) -> Option<(u16, &[u8])> {
    for _ in 0..=TAGS_MAX {
        match protocol {
            IPV4 | IPV6 => return Some((protocol, rest)),
            PPPOE_SESSION => return pppoe(rest),
            _ if TAGGED.contains(&protocol) => {
                let (&[_, _, high, low], inner) = rest.split_first_chunk()?;
                (protocol, rest) = (u16::from_be_bytes([high, low]), inner);
            }
            _ => return None,
        }
    }
    None
}

/// RFC 2516: version 1, type 1, code 0, session, length; then the number of PPP's protocol, which `PPPoE` does not compress.
fn pppoe(rest: &[u8]) -> Option<(u16, &[u8])> {
    match rest.split_first_chunk()? {
        (&[0x11, 0, _, _, _, _, 0x00, 0x21], inner) => Some((IPV4, inner)),
        (&[0x11, 0, _, _, _, _, 0x00, 0x57], inner) => Some((IPV6, inner)),
        _ => None,
    }
}
