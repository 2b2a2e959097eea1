-- Rows with a key that break a rule: kept out of the rankings, and gone from here by themselves once corrected.

select source, source_table, sale_id as row_key, reject_reason as reason, original
from {{ ref('[[ model ]]') }}
where reject_reason is not null
