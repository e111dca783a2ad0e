#!/usr/bin/env bash
# Everything that wants measuring on a GPU, at the size and shape of the paper's data; writes FOLDER/gpu.md.
#
#   benchmarks/gpu.sh FOLDER                                        10,439 patients, 100 epochs
#   PATIENTS=1044 EPOCHS=1 DEVICE=cpu benchmarks/gpu.sh FOLDER      a dry run on a processor
#
# The table: the device, steps a second against plain float32 and against the matrix-product floor, memory, the
# share of a step that waits for its batch, and the wall time of pretraining, evaluation and prediction.
set -euo pipefail

folder=$(mkdir -p "$1" && cd "$1" && pwd)
patients=${PATIENTS:-10439} epochs=${EPOCHS:-100} device=${DEVICE:-cuda}
here=$(cd "$(dirname "$0")" && pwd)
cohort=$folder/patients$patients table=$folder/gpu.md

timed() { # a row of the table: name, then the command
    local name=$1 started ended
    shift
    started=$(date +%s.%N)
    "$@" >>"$folder/gpu.log" 2>&1
    ended=$(date +%s.%N)
    python - "$name" "$started" "$ended" <<'PY' | tee -a "$table"
import sys
print(f"| {sys.argv[1]} | {float(sys.argv[3]) - float(sys.argv[2]):.0f} s |")
PY
}

python "$here/scale.py" "$folder" --patients "$patients" --commands pack >>"$folder/gpu.log" 2>&1
{
    echo "# $patients patients, $epochs epochs"
    echo
    python -c "import torch; print(torch.cuda.get_device_name() if torch.cuda.is_available() else 'no GPU', torch.__version__)"
    echo
    echo '```'
    python "$here/step_time.py" --store "$cohort/store" --config "$cohort/experiment.yaml" --device "$device"
    echo '```'
    echo
    echo "| what | wall time |"
    echo "|---|---|"
} | tee "$table"
run=$folder/gpu-pretrained
timed "pretraining" prime pretrain "$cohort/experiment.yaml" --out "$run" --accelerator "$device" \
    --set "pretrain.epochs=$epochs"
timed "evaluation, linear probes, two cancer types" prime evaluate "$cohort/experiment.yaml" --checkpoint "$run" \
    --out "$folder/gpu-evaluated" --accelerator "$device"
timed "a model of all patients" prime fit "$cohort/experiment.yaml" --checkpoint "$run" --cohort-name all \
    --out "$folder/gpu-model" --accelerator "$device"
timed "predictions of all patients" prime predict --cohort "$cohort/cohort.yaml" --store "$cohort/store" \
    --model "$folder/gpu-model" --out "$folder/gpu-predictions.csv" --accelerator "$device"
