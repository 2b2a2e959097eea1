-- Every sale. Another source would add a branch here, and one in rejected_sales.

select source, sale_id, date, country, region, city, salesman_id, salesman_name, amount
from {{ ref('tpch_sales') }}
where reject_reason is null
