#!/usr/bin/env python3
"""Times smalti's native ops beside other implementations of them on the same shapes; prints a markdown table an op.

    scripts/peers/bench_ops.py [--shapes TEXT] [--op OP] [--batch 1,8] [--dtype f32] [--repeat 7] [--skip PEER ...]

    --shapes TEXT   only shapes whose name contains this: `smalti bench ops --filter`
    --skip PEER     leave out natten (which saves building it), tiled, grid_sample, flex or natten-0.21

On the CPU: NATTEN 0.17.5 (the last release with CPU kernels, built from its source package: natten_cpu.py), neighborhood
attention in plain torch (dilation groups as views, tiles of 8x8 queries as dense products), and deformable attention by
grid_sample.

On a GPU (where smalti's `--device auto` finds one): torch's flex_attention, NATTEN 0.21 if the environment has it (no
bias: less work), and grid_sample. That path has not been run yet.

Everything has the same threads, allocator settings and OMP_WAIT_POLICY, and torch is of smalti's libtorch. A peer is
compared with the op's definition before it is timed. Times are medians after two calls that do not count (a peer's calls
of over a second: three after one). Memory is what a peer's process grew by, beside the inputs; smalti's ops make nothing
larger than their inputs. SMALTI names another binary, SMALTI_PEERS_VENV another environment.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

import environment
import natten_cpu
import smalti

PASSES = {"forward": "forward", "forward_backward": "forward + backward"}


def main() -> int:
    args = arguments()
    environment.enter(environment.REQUIREMENTS_TORCH, name="torch")
    settings = smalti.settings()
    report = run_smalti(args, settings)
    peers = chosen_peers(report["device"], args.skip)
    rates = ", ".join(f"matrix product {r['gflops']:.0f} GFLOP/s ({r['dtype']})" for r in report["rates"])
    print(
        f"smalti {report['smalti']}, libtorch {report['libtorch']}, torch {metadata.version('torch')}; "
        f"{report['device']}, {report['threads']} threads, {rates}, copy {report['rates'][0]['copy_gbs']:.1f} GB/s; "
        f"load average before {os.getloadavg()[0]:.1f}"
    )
    for op in dict.fromkeys(case["op"] for case in report["results"]):
        cases = [case for case in report["results"] if case["op"] == op]
        times = {name: run_peer(name, peer, cases, report, settings) for name, peer in peers.items() if peer.op == op}
        print(f"\n{table(op, cases, times)}", flush=True)
    return 0


def run_smalti(args: argparse.Namespace, settings: dict[str, str]) -> dict:
    """`smalti bench ops` on the shapes asked for."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "ops.json"
        command = [str(smalti.full_binary()), "--quiet", "bench", "ops", "--filter", args.shapes]
        command += ["--batch", args.batch, "--dtype", args.dtype, "--repeat", str(args.repeat), "--json", str(out)]
        command += ["--op", args.op] if args.op else []
        if subprocess.run(command, env=settings, stdout=subprocess.DEVNULL).returncode:
            sys.exit(f"failed: {' '.join(command)}")
        return json.loads(out.read_text())


def chosen_peers(device: str, skip: list[str]) -> dict:
    """The peers that can run on the device that smalti ran on."""
    import op_peers  # torch is in the environment only

    peers = dict(op_peers.CPU if device == "cpu" else op_peers.GPU)
    for name in skip:
        peers.pop(name, None)
    if "natten" in peers and not natten_cpu.build():
        del peers["natten"]
    if "natten-0.21" in peers and not (natten_cpu.installed() or "").startswith("0.21"):
        del peers["natten-0.21"]
    return peers


def run_peer(name: str, peer, cases: list[dict], report: dict, settings: dict[str, str]) -> list[dict | None]:
    """What the peer takes for each case; None where it has no kernel for the dtype or failed."""
    able = [case for case in cases if case["dtype"] in peer.dtypes]
    script = Path(__file__).with_name("run_op_peer.py")
    command = [sys.executable, "-B", str(script), name, report["device"], str(report["repeat"])]
    print(f"{name}: {len(able)} cases", file=sys.stderr, flush=True)
    ran = subprocess.run(command, input=json.dumps(able), env=settings, stdout=subprocess.PIPE, text=True)
    if ran.returncode:
        sys.exit(f"failed: {' '.join(command)}")
    answers = iter(json.loads(line) for line in ran.stdout.splitlines())
    answers = [next(answers) if case["dtype"] in peer.dtypes else None for case in cases]
    return [None if answer is None or "failed" in answer else answer for answer in answers]


def table(op: str, cases: list[dict], times: dict[str, list]) -> str:
    """Ours beside each peer, two rows a case; in brackets how many times as long as ours a peer takes."""
    header = [op, "batch", "dtype", "pass", "smalti ms", "x floor"]
    for name in times:
        header += [f"{name} ms", f"{name} peak MiB"]
    lines = [header, ["---"] * len(header)]
    for at, case in enumerate(cases):
        for key, title in PASSES.items():
            ours = case[key]
            cells = [case["shape"], str(case["batch"]), case["dtype"], title, f"{ours['ms']:.2f}"]
            cells.append(f"{ours['times_floor']:.1f}")
            for answers in times.values():
                answer = answers[at]
                if answer is None:
                    cells += ["-", "-"]
                    continue
                cells.append(f"{answer[key]:.2f} ({answer[key] / ours['ms']:.1f}x)")
                cells.append(f"{answer['peak_mib']:.0f}" if key == "forward_backward" else "")
            lines.append(cells)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", default="", metavar="TEXT")
    parser.add_argument("--op", choices=["na2d", "ms-deform-attn"])
    parser.add_argument("--batch", default="1,8", metavar="N,...")
    parser.add_argument("--dtype", default="f32", metavar="TYPE,...")
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--skip", nargs="*", default=[], metavar="PEER")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
