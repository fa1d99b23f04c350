"""A job of a Tidegate configuration, started by Airflow 3 instead of `tidegate run --only jobs`.

The job's own history and output say what is done: a task that is tried again goes on with what is left, a
run that is made twice does nothing the second time, and a cleared task makes a day that was missed.
"""

from datetime import timedelta

import pendulum
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

CONFIG = "/etc/tidegate/tidegate.toml"
JOB = "nightly"

with DAG(
    dag_id="tidegate_nightly",
    description="Scores yesterday's files with Tidegate",
    schedule="30 2 * * *",
    start_date=pendulum.datetime(2026, 1, 1, tz="Europe/Berlin"),
    catchup=False,
    # A job makes one run at a time; a second one would be refused.
    max_active_runs=1,
    tags=["tidegate"],
    default_args={
        "retries": 3,
        "retry_delay": timedelta(minutes=1),
        "retry_exponential_backoff": True,
        "execution_timeout": timedelta(hours=6),
    },
) as dag:
    BashOperator(
        task_id="score",
        # The day by the clock of the schedule, which is that of the job.
        bash_command=(
            "exec tidegate jobs run $JOB --config $CONFIG --json "
            "--date {{ (dag_run.logical_date or dag_run.run_after).astimezone(dag.timezone).date() }}"
        ),
        env={"JOB": JOB, "CONFIG": CONFIG},
        append_env=True,
    )
