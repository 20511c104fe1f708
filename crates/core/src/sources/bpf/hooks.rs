//! What BPF programs hang at a netfilter hook, as the kernel lists it (`nfnetlink_hook`). A link that was detached does not say so
//! itself.

use crate::nfnetlink::conversation::Conversation;
use crate::nfnetlink::{Attributes, Malformed, NLM_F_DUMP, Request};

use super::Hook;

// include/uapi/linux/netfilter/nfnetlink.h, nfnetlink_hook.h
const GET: u16 = 12 << 8;
const HOOK_NUMBER: u16 = 1;
const PRIORITY: u16 = 2;
const CHAIN_INFO: u16 = 6;
const INFO_DESCRIPTION: u16 = 1;
const INFO_TYPE: u16 = 2;
const TYPE_BPF: u32 = 2;
const BPF_ID: u16 = 1;

/// A program at a hook.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Hooked {
    pub(super) program_id: u32,
    pub(super) priority: i32,
}

/// The programs at a hook in the network namespace of the thread; None where the kernel does not tell.
pub(super) fn hooked(family: u32, hook: Hook) -> Option<Vec<Hooked>> {
    let mut conversation = Conversation::open().ok()?;
    let request =
        Request::new(GET, NLM_F_DUMP, u8::try_from(family).ok()?).with(HOOK_NUMBER, &hook.number().to_be_bytes());
    let mut all = Vec::new();
    let asked = conversation.ask(request, &mut |_, attributes| {
        all.extend(entry(attributes)?);
        Ok(())
    });
    asked.ok().map(|_| all)
}

/// None: something else than a BPF program.
fn entry(attributes: Attributes<'_>) -> Result<Option<Hooked>, Malformed> {
    let (mut found, mut is_bpf) = (Hooked::default(), false);
    for attribute in attributes {
        let attribute = attribute?;
        match attribute.kind {
            PRIORITY => found.priority = attribute.number_u32()?.cast_signed(),
            CHAIN_INFO => {
                for inner in attribute.nested() {
                    let inner = inner?;
                    match inner.kind {
                        INFO_TYPE => is_bpf = inner.number_u32()? == TYPE_BPF,
                        INFO_DESCRIPTION => {
                            let id = inner.nested().find_map(|one| one.ok().filter(|one| one.kind == BPF_ID));
                            found.program_id = id.map_or(Ok(0), |id| id.number_u32())?;
                        }
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    Ok(is_bpf.then_some(found))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let length = u16::try_from(value.len() + 4).unwrap();
        [&length.to_ne_bytes(), &kind.to_ne_bytes(), value].concat()
    }

    fn listed(kind: u32) -> Vec<u8> {
        let description = attribute(INFO_DESCRIPTION | 0x8000, &attribute(BPF_ID, &77_u32.to_be_bytes()));
        let info = [description, attribute(INFO_TYPE, &kind.to_be_bytes())].concat();
        [attribute(PRIORITY, &(-5_i32).to_be_bytes()), attribute(CHAIN_INFO | 0x8000, &info)].concat()
    }

    #[test]
    fn a_program_is_told_from_a_chain_of_nft() {
        let of = |bytes: &[u8]| entry(Attributes::new(bytes));
        assert_eq!(of(&listed(TYPE_BPF)), Ok(Some(Hooked { program_id: 77, priority: -5 })));
        assert_eq!(of(&listed(1)), Ok(None));
        assert_eq!(of(&[]), Ok(None));
        assert!(of(&listed(TYPE_BPF)[..13]).is_err());
    }
}
