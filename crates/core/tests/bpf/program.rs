//! The program in the kernel, fed with one packet at a time (`BPF_PROG_TEST_RUN`): nothing is attached, nothing is pinned.

use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd};

use libbpf_rs::libbpf_sys::bpf_map_create_opts;
use libbpf_rs::{MapCore, MapFlags, MapHandle, MapType, Object, ObjectBuilder, ProgramInput};
use netledger_core::flow::Sums;

use super::settings::{NETWORKS_BYTES, Settings};

const OBJECT: &[u8] = include_bytes!("../../../../bpf/accounting.bpf.o");
const ROWS_MAX: u32 = 1000;
const RECEIPT_BYTES: usize = 248;
const GENERATION: u64 = 6;
const SLOT: u32 = 0;
/// `enum nf_inet_hooks`.
pub(crate) const FORWARD: u8 = 2;
pub(crate) const OUTPUT: u8 = 3;

/// The program at one of the places where it can be attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum At {
    /// A hook, and the family for which it is called (2, 10).
    Netfilter(u8, u8),
    Ingress,
    Egress,
}

impl At {
    fn program(self) -> &'static str {
        match self {
            Self::Netfilter(..) => "count_netfilter",
            Self::Ingress => "count_ingress",
            Self::Egress => "count_egress",
        }
    }
}

/// What a packet did: rows, and the words of the receipt.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Books {
    pub(crate) rows: HashMap<Vec<u64>, Sums>,
    pub(crate) receipt: Vec<u64>,
}

/// How a super-packet is to be split.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Segments {
    pub(crate) count: u32,
    pub(crate) bytes: u32,
}

pub(crate) struct Program {
    object: Object,
    rows: MapHandle,
    receipts: MapHandle,
    cpus: usize,
}

impl Program {
    /// Loads what is asked for; `name` is one of the programs in the object.
    pub(crate) fn load(settings: &Settings, at: At) -> Self {
        Self::load_with_rows(settings, at, ROWS_MAX)
    }

    pub(crate) fn load_with_rows(settings: &Settings, at: At, rows_max: u32) -> Self {
        let mut object = ObjectBuilder::default().open_memory(OBJECT).unwrap();
        let options = bpf_map_create_opts { sz: size_of::<bpf_map_create_opts>() as _, ..Default::default() };
        let rows = MapHandle::create(MapType::Hash, Some("rows"), settings.key_bytes, 32, rows_max, &options).unwrap();
        for mut map in object.maps_mut() {
            match map.name().to_str().unwrap() {
                "slots" => map.set_inner_map_fd(rows.as_fd()).unwrap(),
                "networks" => map.set_autocreate(settings.asks_networks()).unwrap(),
                name if name.ends_with(".rodata") => map.set_initial_value(&settings.bytes()).unwrap(),
                _ => {}
            }
        }
        for mut program in object.progs_mut() {
            let is_wanted = program.name() == at.program();
            program.set_autoload(is_wanted);
        }
        let object = object.load().unwrap();
        let map = |name: &str| object.maps().find(|map| map.name() == name).unwrap();
        let receipts = MapHandle::try_from(&map("receipts")).unwrap();
        for slot in 0..2_u32 {
            let fd = rows.as_fd().as_raw_fd().to_ne_bytes();
            map("slots").update(&slot.to_ne_bytes(), &fd, MapFlags::ANY).unwrap();
        }
        if settings.asks_networks() {
            let table = settings.networks_table();
            assert_eq!(table.len(), NETWORKS_BYTES);
            map("networks").update(&[0; 4], &table, MapFlags::ANY).unwrap();
        }
        let program = Self { rows, receipts, cpus: libbpf_rs::num_possible_cpus().unwrap(), object };
        program.switch(GENERATION | u64::from(settings.side) << 56);
        program
    }

    pub(crate) fn switch(&self, number: u64) {
        let control = self.object.maps().find(|map| map.name() == ".data.control").unwrap();
        control.update(&[0; 4], &number.to_ne_bytes(), MapFlags::ANY).unwrap();
    }

    /// Runs the program once, and gives what it booked; the books are empty again then.
    pub(crate) fn run(&self, at: At, frame: &[u8], segments: Segments) -> Books {
        let program = self.object.progs_mut().find(|program| program.name() == at.program()).unwrap();
        let mut context = match at {
            At::Netfilter(hook, family) => {
                let mut state = vec![0; 48];
                state[..2].copy_from_slice(&[hook, family]);
                state
            }
            At::Ingress | At::Egress => {
                // struct __sk_buff: gso_segs at 164, gso_size at 176.
                let mut buffer = vec![0; 192];
                buffer[164..168].copy_from_slice(&segments.count.to_ne_bytes());
                buffer[176..180].copy_from_slice(&segments.bytes.to_ne_bytes());
                buffer
            }
        };
        let input = ProgramInput { context_in: Some(&mut context), data_in: Some(frame), ..Default::default() };
        let output = program.test_run(input).unwrap_or_else(|error| panic!("{at:?}: {error}: {frame:02x?}"));
        let verdict = if matches!(at, At::Netfilter(..)) { 1 } else { u32::MAX };
        assert_eq!(output.return_value, verdict, "the packet must pass, whatever it is");
        self.take()
    }

    fn take(&self) -> Books {
        let keys: Vec<Vec<u8>> = self.rows.keys().collect();
        let mut books = Books { rows: HashMap::new(), receipt: vec![0; RECEIPT_BYTES / 8] };
        for key in keys {
            let value = words(&self.rows.lookup(&key, MapFlags::ANY).unwrap().unwrap());
            let sums = Sums {
                sent_packets: value[0],
                sent_bytes: value[1],
                received_packets: value[2],
                received_bytes: value[3],
            };
            books.rows.insert(words(&key), sums);
            self.rows.delete(&key).unwrap();
        }
        let slot = SLOT.to_ne_bytes();
        for part in self.receipts.lookup_percpu(&slot, MapFlags::ANY).unwrap().unwrap() {
            for (sum, word) in books.receipt.iter_mut().zip(words(&part)) {
                *sum += word;
            }
        }
        let zeros = vec![vec![0; RECEIPT_BYTES]; self.cpus];
        self.receipts.update_percpu(&slot, &zeros, MapFlags::ANY).unwrap();
        books
    }
}

fn words(bytes: &[u8]) -> Vec<u64> {
    bytes.as_chunks::<8>().0.iter().map(|word| u64::from_ne_bytes(*word)).collect()
}
