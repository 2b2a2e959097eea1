-- Orders that are no sales (yet): kept out of the rankings, and gone from here by themselves once corrected.

select source, source_table, cast(sale_id as text) as row_key, reject_reason as reason, original
from {{ ref('tpch_sales') }}
where reject_reason is not null
