# throughput: planes a second of every network on this machine, where the study asks for it. It takes all cores, so that nothing runs beside
# it. Of all results the page alone reads it, where the study lists the section `throughput`, and it is the same on no two machines.
rule throughput:
    output:
        **THROUGHPUT,
    log:
        f"{R}/logs/throughput.log",
    conda:
        "../../environment.yml"
    threads: workflow.cores
    resources:
        mem_mb=4000,
        gpu=0,
    params:
        job=throughput_job,
        code=code_of(throughput_job),
    message:
        "throughput: planes a second of every network"
    shell:
        "crossmod throughput {log:q}.json --threads {threads} 2>&1 | tee {log:q}"
