//! `smalti bench ops`: the native ops on the shapes of real networks, as a table and as JSON.

use anyhow::{Result, bail};
use serde::Serialize;
use smalti::cli::{BenchDtype, BenchOp, BenchOpsArgs};
use smalti::output::{self, InputError, Progress, Rows};
use smalti_ops::bench_cases::{Rates, Shape, Timer};
use smalti_ops::runtime::runtime_facts;
use tch::Kind;

use super::digits;
use super::measure::{DtypeRates, Measured, Pass, measure};
use crate::session::named_device;

/// Calls before those that count: the first one faults memory in, the second finds everything warm.
const WARM_UPS: usize = 2;

#[derive(Serialize)]
struct Report {
    smalti: &'static str,
    libtorch: String,
    device: String,
    threads: i32,
    repeat: u32,
    rates: Vec<DtypeRates>,
    results: Vec<Measured>,
}

/// Runs the verb.
pub fn run(args: &BenchOpsArgs) -> Result<()> {
    let device = named_device(args.device)?;
    let shapes = chosen(args)?;
    let mut report = Report {
        smalti: env!("CARGO_PKG_VERSION"),
        libtorch: runtime_facts()?.version,
        device: format!("{device:?}").to_lowercase(),
        threads: tch::get_num_threads(),
        repeat: args.repeat,
        rates: Vec::new(),
        results: Vec::new(),
    };
    let timer = Timer { device, warm_ups: WARM_UPS, repeat: args.repeat as usize };
    let rates: Vec<(BenchDtype, Rates)> =
        args.dtype.iter().map(|&dtype| (dtype, Rates::measure(&timer, kind(dtype), device))).collect();
    report.rates = rates.iter().map(|(dtype, rates)| DtypeRates::new(name(*dtype), rates)).collect();
    output::line(&header(&report));

    let bar = Progress::new("bench", (shapes.len() * args.batch.len() * rates.len()) as u64);
    for shape in &shapes {
        for &batch in &args.batch {
            for (dtype, rates) in &rates {
                bar.message(&format!("{}, batch {batch}", shape.name()));
                report.results.push(measure(shape, batch, (name(*dtype), kind(*dtype)), rates, &timer)?);
                bar.inc(1);
            }
        }
    }
    bar.clear();
    print(&report.results);
    if let Some(path) = &args.json {
        output::write_json(path, &report)?;
    }
    Ok(())
}

/// The shapes asked for.
fn chosen(args: &BenchOpsArgs) -> Result<Vec<Shape>> {
    let of_op: Vec<Shape> = Shape::all()
        .filter(|shape| match args.op {
            Some(BenchOp::Na2d) => matches!(shape, Shape::Na2d(_)),
            Some(BenchOp::MsDeformAttn) => matches!(shape, Shape::MsDeformAttn(_)),
            None => true,
        })
        .collect();
    let shapes: Vec<Shape> =
        of_op.iter().filter(|shape| shape.name().contains(&args.filter)).copied().collect();
    if shapes.is_empty() {
        let names: Vec<String> = of_op.iter().map(|shape| format!("  {}", shape.name())).collect();
        bail!(InputError::new(format!(
            "`--filter`: no shape contains \"{}\"; the shapes are\n{}",
            args.filter,
            names.join("\n")
        )));
    }
    Ok(shapes)
}

const fn kind(dtype: BenchDtype) -> Kind {
    match dtype {
        BenchDtype::F32 => Kind::Float,
        BenchDtype::Bf16 => Kind::BFloat16,
    }
}

const fn name(dtype: BenchDtype) -> &'static str {
    match dtype {
        BenchDtype::F32 => "f32",
        BenchDtype::Bf16 => "bf16",
    }
}

/// `2 threads, cpu, matrix product 190 GFLOP/s (f32), copy 37.6 GB/s`
fn header(report: &Report) -> String {
    let products: Vec<String> =
        report.rates.iter().map(|rates| format!("{:.0} GFLOP/s ({})", rates.gflops, rates.dtype)).collect();
    let copies = report.rates.iter().map(|rates| rates.copy_gbs);
    format!(
        "{} threads, {}, matrix product {}, copy {:.1} GB/s",
        report.threads,
        report.device,
        products.join(", "),
        copies.fold(0.0, f64::max)
    )
}

fn print(results: &[Measured]) {
    let dtypes = results.iter().any(|result| result.dtype != results[0].dtype);
    for op in ["na2d", "ms_deform_attn"] {
        let rows: Vec<&Measured> = results.iter().filter(|result| result.op == op).collect();
        if !rows.is_empty() {
            table(op, &rows, dtypes);
        }
    }
}

/// One op's rows; `dtypes`: there is more than one.
fn table(op: &str, results: &[&Measured], dtypes: bool) {
    // Gathers are what one op has instead of traffic that a copy is a measure for.
    let gathers = results.iter().any(|result| result.forward.gathered_gbs > 0.0);
    let mut header = vec![op, "batch"];
    if dtypes {
        header.push("dtype");
    }
    for title in ["forward ms", "+ backward ms"] {
        header.extend([title, "GFLOP/s", "GB/s"]);
        if gathers {
            header.push("gather GB/s");
        }
        header.push("x floor");
    }
    let mut rows = Rows::new(header);
    for result in results {
        let mut cells = vec![result.shape.clone(), result.batch.to_string()];
        if dtypes {
            cells.push(result.dtype.to_owned());
        }
        for pass in [&result.forward, &result.forward_backward] {
            cells.extend(pass_cells(pass, gathers));
        }
        rows.push(cells);
    }
    rows.print();
}

fn pass_cells(pass: &Pass, gathers: bool) -> Vec<String> {
    let mut cells = vec![digits(pass.ms), format!("{:.0}", pass.gflops), format!("{:.1}", pass.gbs)];
    if gathers {
        cells.push(format!("{:.1}", pass.gathered_gbs));
    }
    cells.push(format!("{:.1}", pass.times_floor));
    cells
}
