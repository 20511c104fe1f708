//! The verifier takes the program with everything that can be asked for: what is taken out of it is different each time. Root
//! is needed; `tests/kernel/test_bpf_cases.py` runs it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what is wrong by failing")]

mod bpf;

use bpf::program::{At, OUTPUT, Program};
use bpf::settings::Settings;
use netledger_core::flow::Address;
use netledger_core::posting::Network;

/// Those that the program knows.
const COLUMNS: [&str; 6] = ["host", "peer", "protocol", "host_port", "peer_port", "interface"];
/// What is sent is read by the same text as what is received, less a condition.
const PLACES: [At; 2] = [At::Netfilter(OUTPUT, 2), At::Ingress];

fn columns() -> impl Iterator<Item = Vec<&'static str>> {
    (0..1_usize << COLUMNS.len()).map(|chosen| {
        COLUMNS.iter().enumerate().filter(|(bit, _)| chosen >> bit & 1 != 0).map(|(_, column)| *column).collect()
    })
}

fn networks(last: u8) -> Vec<Network> {
    vec![(Address::from_v4([10, 0, 0, last]), 32, true), (Address(u128::from(last) << 64), 64, false)]
}

/// Networks that are local, wanted and excluded, or not; every second time whole prefixes.
fn with_networks(settings: &Settings, chosen: u8) -> Settings {
    let mut settings = settings.clone();
    let pick = |bit: u8| if chosen >> bit & 1 != 0 { networks(bit) } else { Vec::new() };
    (settings.spec.local, settings.wanted, settings.excluded) = (pick(0), pick(1), pick(2));
    if !chosen.is_multiple_of(2) {
        (settings.spec.ipv4_prefix_length, settings.spec.ipv6_prefix_length) = (24, 64);
    }
    settings
}

#[test]
#[ignore = "loads programs into the kernel"]
fn every_set_of_columns_with_networks_and_prefixes_is_taken() {
    for columns in columns() {
        // None, local ones, wanted and excluded ones, all.
        for chosen in [0, 1, 6, 7] {
            let settings = with_networks(&Settings::new(&columns), chosen);
            for at in PLACES {
                Program::load(&settings, at);
            }
        }
    }
}

#[test]
#[ignore = "loads programs into the kernel"]
fn every_choice_of_interfaces_is_taken() {
    let some: Vec<&str> = (0..32).map(|number| if number % 2 == 0 { "eth0" } else { "ppp*" }).collect();
    for columns in [&COLUMNS[..1], &COLUMNS[..5], &COLUMNS] {
        for interfaces in [None, Some(Vec::new()), Some(some[..1].to_vec()), Some(some.clone())] {
            for excluded in [Vec::new(), some[..1].to_vec(), some.clone()] {
                for loopback in [false, true] {
                    let settings = Settings {
                        loopback,
                        others: loopback,
                        interfaces: interfaces.clone(),
                        interfaces_excluded: excluded.clone(),
                        ..Settings::new(columns)
                    };
                    // At tcx they are chosen by who hangs the program there.
                    Program::load(&settings, At::Netfilter(OUTPUT, 2));
                }
            }
        }
    }
}
