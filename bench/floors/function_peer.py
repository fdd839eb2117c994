"""Peers of function jobs: u64 -> u64 in two processes, as CPython and loky do it.

    function_peer.py futures|loky map COUNT CHUNK   ProcessPoolExecutor.map
    function_peer.py futures|loky one COUNT         one at a time: submit, result
    function_peer.py futures|loky large BYTES       one argument and one result of so many bytes
    function_peer.py pool map COUNT CHUNK           multiprocessing.Pool.imap
    function_peer.py pool fresh COUNT               multiprocessing.Pool, a process for each job
"""
import sys


def add(n):
    return n + 1


def echo(data):
    return data


def executor(library, workers):
    if library == "loky":
        from loky import ProcessPoolExecutor
    else:
        from concurrent.futures import ProcessPoolExecutor
    return ProcessPoolExecutor(workers)


def pooled(count, chunk, fresh):
    import multiprocessing

    with multiprocessing.get_context("fork").Pool(2, maxtasksperchild=fresh) as pool:
        return sum(pool.imap(add, range(count), chunk))


def main():
    library, mode, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    chunk = int(sys.argv[4]) if len(sys.argv) > 4 else 1
    if mode == "large":
        data = b"\x07" * count
        with executor(library, 1) as pool:
            assert len(pool.submit(echo, data).result()) == count
        return
    if library == "pool":
        total = pooled(count, chunk, 1 if mode == "fresh" else None)
    elif mode == "one":
        with executor(library, 1) as pool:
            total = sum(pool.submit(add, n).result() for n in range(count))
    else:
        with executor(library, 2) as pool:
            total = sum(pool.map(add, range(count), chunksize=chunk))
    assert total == count * (count + 1) // 2


if __name__ == "__main__":
    main()
