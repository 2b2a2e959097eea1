-- The sales of `[[ source ]].[[ sketch.fact.name ]]`, one row each. `topline init` wrote this from names and types alone: read it,
-- and correct what it guessed. reject_reason says why a row is no sale; NULL: it is one.

with [% if lines %]lines as (

    select
[% for name in lines.key %]
        [[ name ]],
[% endfor %]
        {{ [[ lines.amount ]] }} as amount
    from {{ source('[[ source ]]', '[[ lines.table ]]') }}

),

totals as (

    select
[% for name in lines.key %]
        [[ name ]],
[% endfor %]
        sum(amount) as amount,
        sum(case when amount is null then 1 else 0 end) as unreadable
    from lines
    group by [[ lines.key | join(', ') ]]

),

[% endif %]cleaned as (

    select
[% for column, note in columns %]
        [[ column ]][[ ',' if not loop.last ]][[ ' -- ' ~ note if note ]]
[% endfor %]
    from {{ source('[[ source ]]', '[[ sketch.fact.name ]]') }} as [[ sketch.fact.name | sql ]]
[% for table, alias, condition in joins %]
    left join {{ source('[[ source ]]', '[[ table ]]') }} as [[ alias | sql ]] on [[ condition ]]
[% endfor %]
[% if lines %]
    left join totals on [[ lines.condition ]]
[% endif %]

)

select
    '[[ source ]]' as source,
    '[[ sketch.fact.name ]]' as source_table,
    sale_id,
    date,
    country,
    region,
    city,
    salesman_id,
    salesman_name,
    amount,
    {{ reject_reason([% if texts %]texts={[% for role in texts %]'[[ role ]]': '[[ role ]]_text'[[ ', ' if not loop.last ]][% endfor %]}[% endif %]) }} as reject_reason,
    'sale_id=' || sale_id
[% for name in ['country', 'region', 'city', 'salesman_id'] %]
        || ' [[ name ]]=' || coalesce([[ name ]], '')
[% endfor %]
[% for role in texts %]
        || ' [[ role ]]=' || coalesce([[ role ]]_text, '')
[% endfor %]
        || ' currency=' || coalesce(currency, '') as original
from cleaned
