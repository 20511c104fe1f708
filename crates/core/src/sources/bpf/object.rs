//! The compiled program: what of it is loaded, and with what.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};

use libbpf_rs::{MapCore, ObjectBuilder, OpenObject};

use crate::error::{Error, Kind};
use crate::sys::bpf::{Map, MapForm, load, program_descriptor, version};

use super::AttachPoint;
use super::layout::{ROW_BYTES, SETTINGS_BYTES, SLOTS};
use super::receipt::ReceiptForm;
use super::settings::Wanted;
use super::trouble::{self, SUBJECT};

/// Committed beside its source, so that building needs no clang; `make bpf` makes it anew.
pub(super) const BUILT_IN: &[u8] = include_bytes!("../../../../../bpf/accounting.bpf.o");

/// What a loaded program consists of. It is gone when nobody has it open and nothing of it is pinned.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) control: Map,
    pub(super) slots: Map,
    pub(super) receipts: Map,
    pub(super) receipt: ReceiptForm,
    /// By the names that they are pinned by.
    pub(super) programs: Vec<(&'static str, OwnedFd)>,
}

impl AttachPoint {
    /// Names of pins and of functions in the object.
    pub(super) fn programs(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Netfilter => &[("program-netfilter", "count_netfilter")],
            Self::Tcx => &[("program-ingress", "count_ingress"), ("program-egress", "count_egress")],
        }
    }
}

/// The form of a map of rows.
pub(super) fn rows_form(key_bytes: u32, rows_max: u32) -> MapForm {
    MapForm { key_bytes: key_bytes as usize, value_bytes: ROW_BYTES, entries_max: rows_max }
}

fn wrong(cause: impl Into<String>) -> Error {
    Error::new(Kind::Source, SUBJECT, "read the object", cause)
}

fn open(bytes: &[u8]) -> Result<OpenObject, Error> {
    trouble::listen();
    let object = ObjectBuilder::default().name("netledger").and_then(|builder| builder.open_memory(bytes));
    object.map_err(|error| wrong(error.to_string()))
}

/// The version of an object's layout.
pub(super) fn layout(bytes: &[u8]) -> Result<u32, Error> {
    let layout = version(&open(bytes)?);
    if layout == 0 { Err(wrong("it does not say of which layout it is")) } else { Ok(layout) }
}

/// Loads what is wanted of an object; nothing is attached or pinned. `control` is the generation number of another program,
/// which is then this one's as well.
pub(super) fn make(bytes: &[u8], attach: AttachPoint, wanted: &Wanted, control: Option<&Map>) -> Result<Loaded, Error> {
    let mut object = open(bytes)?;
    let receipt = ReceiptForm::of_object(bytes).ok_or_else(|| wrong("it does not describe its receipts"))?;
    let failed = |operation| move |error: std::io::Error| trouble::explain(operation, &error, attach, &trouble::log());
    // Which keys rows have is known by now only, and the verifier wants to know it.
    let template = Map::hash(rows_form(wanted.settings.key_bytes, 1)).map_err(failed("make a map"))?;
    prepare(&mut object, attach, wanted, &template, control)?;
    let object = load(object).map_err(failed("load"))?;
    let map = |name: &str| {
        let found = object.maps().find(|map| map.name() == OsStr::new(name)).ok_or_else(|| no_map(name))?;
        found.as_fd().try_clone_to_owned().and_then(Map::of).map_err(failed("load"))
    };
    let loaded = Loaded {
        control: map(".data.control")?,
        slots: map("slots")?,
        receipts: map("receipts")?,
        receipt,
        programs: Vec::new(),
    };
    if let Some(tables) = &wanted.tables {
        map("networks")?.update(0, &tables.bytes()).map_err(failed("write the networks"))?;
    }
    let mut programs = Vec::new();
    for &(pin, function) in attach.programs() {
        let found = object.progs().find(|program| program.name() == OsStr::new(function));
        let program = found.ok_or_else(|| wrong(format!("it has no program {function}")))?;
        programs.push((pin, program_descriptor(&program).map_err(failed("load"))?));
    }
    Ok(Loaded { programs, ..loaded })
}

fn no_map(name: &str) -> Error {
    wrong(format!("it has no map {name}"))
}

fn prepare(
    object: &mut OpenObject,
    attach: AttachPoint,
    wanted: &Wanted,
    template: &Map,
    control: Option<&Map>,
) -> Result<(), Error> {
    let refused = |error: libbpf_rs::Error| wrong(error.to_string());
    for mut program in object.progs_mut() {
        let is_wanted = attach.programs().iter().any(|(_, function)| program.name() == OsStr::new(function));
        program.set_autoload(is_wanted);
    }
    let mut is_set = false;
    for mut map in object.maps_mut() {
        let name = map.name().to_string_lossy().into_owned();
        match name.as_str() {
            "slots" if map.max_entries() == SLOTS => {
                map.set_inner_map_fd(template.descriptor().as_fd()).map_err(refused)?;
            }
            ".data.control" => {
                if let Some(control) = control {
                    map.reuse_fd(control.descriptor().as_fd()).map_err(refused)?;
                }
            }
            // Nothing reads it then: the verifier has taken out what would.
            "networks" if wanted.tables.is_none() => map.set_autocreate(false).map_err(refused)?,
            // libbpf puts the object's name in front of the names of sections.
            name if name.ends_with(".rodata") => {
                let settings = map.initial_value_mut().filter(|bytes| bytes.len() == SETTINGS_BYTES);
                let settings = settings.ok_or_else(|| wrong("its settings have another layout"))?;
                settings.copy_from_slice(&wanted.settings.bytes());
                is_set = true;
            }
            _ => {}
        }
    }
    if is_set { Ok(()) } else { Err(wrong("it has no settings")) }
}
