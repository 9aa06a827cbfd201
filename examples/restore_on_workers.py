# Restore a large image on several processes of this machine; a scheduler on others takes the place of LocalCluster.
#
#   python restore_on_workers.py                             a drawn blood smear
#   python restore_on_workers.py tcp://127.0.0.1:8786        the same, on workers that run ("dask scheduler", "dask worker")
#
# What to adapt: MODEL, WORKERS (as many as there are cores), TILE_PX. For files, "cellrestore restore --dask" does all this.

import sys

import numpy as np
from distributed import Client, LocalCluster

from napari_cellrestore.model import load_model
from napari_cellrestore.restore import plan_restoration, restore
from napari_cellrestore.simulate import defocus_stack, draw_smear, smear_objectives

MODEL = "deblur-fast"
WORKERS = 2
TILE_PX = 128


def restore_on(client: Client, image: np.ndarray) -> np.ndarray:
    model = load_model(MODEL)
    plan = plan_restoration(image, model, tile=TILE_PX)
    restored = restore(image, model, plan)  # lazy: nothing is computed yet
    print(f"{plan.n_tiles} tiles for {len(client.nthreads())} workers")
    return client.compute(restored).result()


def main() -> None:
    smear = draw_smear((256, 384), 0.1, np.random.default_rng(0))
    (blurred,) = defocus_stack(smear, 0.1, smear_objectives(), [0.6]).data
    if len(sys.argv) > 1:
        with Client(sys.argv[1]) as client:
            restored = restore_on(client, blurred)
    else:
        # Nothing but this machine can reach it.
        local = LocalCluster(n_workers=WORKERS, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0")
        with local, Client(local) as client:
            restored = restore_on(client, blurred)
    here = restore(blurred, MODEL, plan_restoration(blurred, MODEL, tile=TILE_PX)).compute()
    print(f"the same as without workers: {np.array_equal(restored, here)}")


if __name__ == "__main__":  # workers are new processes, which import this file
    main()
