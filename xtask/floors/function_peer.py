"""Peers of function jobs: u64 -> u64 in two processes, as CPython does it.

    function_peer.py futures COUNT CHUNK    concurrent.futures.ProcessPoolExecutor.map
    function_peer.py pool COUNT CHUNK       multiprocessing.Pool.imap
    function_peer.py fresh COUNT 1          multiprocessing.Pool, a process for each job
    function_peer.py loky COUNT CHUNK       loky, where it is installed
"""
import sys


def add(n):
    return n + 1


def main():
    mode, count, chunk = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    if mode == "futures":
        from concurrent.futures import ProcessPoolExecutor

        with ProcessPoolExecutor(2) as pool:
            total = sum(pool.map(add, range(count), chunksize=chunk))
    elif mode == "loky":
        from loky import ProcessPoolExecutor

        with ProcessPoolExecutor(2) as pool:
            total = sum(pool.map(add, range(count), chunksize=chunk))
    else:
        import multiprocessing

        fresh = 1 if mode == "fresh" else None
        with multiprocessing.get_context("fork").Pool(2, maxtasksperchild=fresh) as pool:
            total = sum(pool.imap(add, range(count), chunk))
    assert total == count * (count + 1) // 2


if __name__ == "__main__":
    main()
