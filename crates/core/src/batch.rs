//! A closed table as Arrow columns. The schema is here, and only here; `netledger/schema.py` is tested against it.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::builder::{
    FixedSizeBinaryBuilder, Int64Builder, UInt8Builder, UInt16Builder, UInt32Builder, UInt64Builder,
};
use arrow_array::{ArrayRef, DictionaryArray, StringArray, StructArray};
use arrow_schema::{ArrowError, DataType, Field, Fields};

use crate::error::{Error, Kind};
use crate::flow::{Account, Address, Key, Sums};
use crate::posting::KeySpec;

const ADDRESS_BYTES: i32 = 16;

/// Interfaces by their index.
pub type InterfaceNames = HashMap<u32, String>;

/// What the numbers in keys are called.
#[derive(Debug)]
pub struct Names<'a> {
    pub interfaces: &'a InterfaceNames,
    pub labels: &'a [String],
}

/// With intervals, where number 0 begins and how long each is: the tag of a key is the number of its interval.
#[derive(Clone, Copy, Debug)]
pub struct Intervals {
    pub origin_ns: i64,
    pub length_ns: i64,
}

struct Columns {
    interval: Int64Builder,
    account: UInt8Builder,
    host: FixedSizeBinaryBuilder,
    peer: FixedSizeBinaryBuilder,
    protocol: UInt8Builder,
    host_port: UInt16Builder,
    peer_port: UInt16Builder,
    interface: Coded,
    label: Coded,
    zone: UInt16Builder,
    mark: UInt32Builder,
    counters: [UInt64Builder; 4],
}

/// A column of few different texts. A number is looked up once per row, its text once per batch.
#[derive(Default)]
struct Coded {
    codes: HashMap<u32, u32>,
    texts: Vec<String>,
    column: UInt32Builder,
}

impl Coded {
    fn push(&mut self, number: Option<u32>, text: impl FnOnce(u32) -> String) {
        let code = number.map(|number| {
            *self.codes.entry(number).or_insert_with(|| {
                self.texts.push(text(number));
                u32::try_from(self.texts.len() - 1).unwrap_or(u32::MAX)
            })
        });
        self.column.append_option(code);
    }

    fn finish(mut self) -> Result<ArrayRef, ArrowError> {
        let texts = Arc::new(StringArray::from(self.texts));
        Ok(Arc::new(DictionaryArray::try_new(self.column.finish(), texts)?))
    }
}

fn account_names() -> ArrayRef {
    Arc::new(StringArray::from(Account::ALL.map(Account::name).to_vec()))
}

impl Columns {
    fn new(rows: usize) -> Self {
        Self {
            interval: Int64Builder::new(),
            account: UInt8Builder::with_capacity(rows),
            host: FixedSizeBinaryBuilder::with_capacity(rows, ADDRESS_BYTES),
            peer: FixedSizeBinaryBuilder::with_capacity(rows, ADDRESS_BYTES),
            protocol: UInt8Builder::with_capacity(rows),
            host_port: UInt16Builder::with_capacity(rows),
            peer_port: UInt16Builder::with_capacity(rows),
            interface: Coded::default(),
            label: Coded::default(),
            zone: UInt16Builder::with_capacity(rows),
            mark: UInt32Builder::with_capacity(rows),
            counters: std::array::from_fn(|_| UInt64Builder::with_capacity(rows)),
        }
    }

    fn push(
        &mut self,
        spec: &KeySpec,
        names: &Names<'_>,
        intervals: Option<Intervals>,
        key: &Key,
        sums: &Sums,
    ) -> Result<(), ArrowError> {
        let fields = key.fields();
        let is_host = fields.account == Account::Host;
        self.account.append_value(fields.account as u8);
        append_address(&mut self.host, is_host && spec.has_host(), fields.host)?;
        append_address(&mut self.peer, is_host && spec.has_peer(), fields.peer)?;
        self.protocol.append_option((is_host && spec.has_protocol()).then_some(fields.protocol));
        self.host_port.append_option((is_host && spec.has_host_port()).then_some(fields.host_port));
        self.peer_port.append_option((is_host && spec.has_peer_port()).then_some(fields.peer_port));
        let interface = Some(fields.place).filter(|&number| is_host && spec.has_interface() && number != 0);
        self.interface
            .push(interface, |number| names.interfaces.get(&number).cloned().unwrap_or_else(|| format!("if{number}")));
        let label = Some(fields.tag).filter(|&number| is_host && spec.has_label() && number != 0);
        self.label.push(label, |number| names.labels.get(number as usize).cloned().unwrap_or_default());
        self.zone.append_option((is_host && spec.has_zone()).then_some(fields.zone));
        self.mark.append_option((is_host && spec.has_mark()).then_some(fields.place));
        if let Some(intervals) = intervals {
            let offset = i64::from(fields.tag).saturating_mul(intervals.length_ns);
            self.interval.append_value(intervals.origin_ns.saturating_add(offset));
        }
        let values = [sums.sent_bytes, sums.sent_packets, sums.received_bytes, sums.received_packets];
        for (column, value) in self.counters.iter_mut().zip(values) {
            column.append_value(value);
        }
        Ok(())
    }

    fn finish(mut self, has_intervals: bool) -> Result<StructArray, ArrowError> {
        let [sent_bytes, sent_packets, received_bytes, received_packets] = &mut self.counters;
        let mut columns: Vec<(&str, bool, ArrayRef)> = vec![
            ("account", false, Arc::new(DictionaryArray::try_new(self.account.finish(), account_names())?)),
            ("host", true, Arc::new(self.host.finish())),
            ("peer", true, Arc::new(self.peer.finish())),
            ("protocol", true, Arc::new(self.protocol.finish())),
            ("host_port", true, Arc::new(self.host_port.finish())),
            ("peer_port", true, Arc::new(self.peer_port.finish())),
            ("interface", true, self.interface.finish()?),
            ("label", true, self.label.finish()?),
            ("zone", true, Arc::new(self.zone.finish())),
            ("mark", true, Arc::new(self.mark.finish())),
            ("sent_bytes", false, Arc::new(sent_bytes.finish())),
            ("sent_packets", false, Arc::new(sent_packets.finish())),
            ("received_bytes", false, Arc::new(received_bytes.finish())),
            ("received_packets", false, Arc::new(received_packets.finish())),
        ];
        if has_intervals {
            columns.insert(0, ("interval_start_ns", false, Arc::new(self.interval.finish())));
        }
        let fields: Fields =
            columns.iter().map(|(name, null, array)| Field::new(*name, array.data_type().clone(), *null)).collect();
        StructArray::try_new(fields, columns.into_iter().map(|(_, _, array)| array).collect(), None)
    }
}

fn append_address(column: &mut FixedSizeBinaryBuilder, is_there: bool, address: Address) -> Result<(), ArrowError> {
    if is_there {
        column.append_value(address.0.to_be_bytes())
    } else {
        column.append_null();
        Ok(())
    }
}

/// The rows as one Arrow struct array. Rows without a single packet are left out.
///
/// # Errors
/// Arrow's own; none is known to be possible here.
pub fn batch(
    rows: impl Iterator<Item = (Key, Sums)>,
    rows_max: usize,
    spec: &KeySpec,
    names: &Names<'_>,
    intervals: Option<Intervals>,
) -> Result<StructArray, Error> {
    let fail = |error: ArrowError| Error::new(Kind::Table, "batch", "build", error.to_string());
    let mut columns = Columns::new(rows_max);
    for (key, sums) in rows.filter(|(_, sums)| sums.sent_packets != 0 || sums.received_packets != 0) {
        columns.push(spec, names, intervals, &key, &sums).map_err(fail)?;
    }
    columns.finish(intervals.is_some()).map_err(fail)
}

/// The type of a batch without intervals.
#[must_use]
pub fn data_type() -> DataType {
    use arrow_array::Array;
    let empty = Columns::new(0).finish(false);
    empty.map_or(DataType::Null, |array| array.data_type().clone())
}
